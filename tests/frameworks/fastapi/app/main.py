import asyncio
import hashlib
import json
import os
import time
import uuid
from html import escape
from typing import Annotated
from urllib.parse import quote

import jwt
from fastapi import Depends, FastAPI, Form, HTTPException, Query, Request, UploadFile, WebSocket
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

PASSWORDS = {"ada@example.com": "correct horse battery"}

app = FastAPI()
go_on = asyncio.Event()


def verify(request: Request):
    """Lets in requests that came through Vestibule, and returns the claims."""
    target = request.scope["raw_path"] + (b"?" + query if (query := request.scope["query_string"]) else b"")
    token = request.headers.get("x-vestibule-assertion", "")
    claims = jwt.decode(
        token, os.environ["UPSTREAM_SECRET"], algorithms=["HS256"], issuer="vestibule",
        audience="vestibule-upstream", leeway=5, options={"require": ["exp", "iss", "aud"]},
    )
    if jwt.get_unverified_header(token).get("typ") != "vestibule-assertion+jwt":
        raise HTTPException(403, "not an assertion")
    if "path" in claims:
        same_path = claims["path"] == target.decode("latin-1")
    else:
        same_path = claims.get("pathHash") == hashlib.sha256(target).hexdigest()
    received = (request.method, request.headers.get("x-request-id"))
    if not same_path or (claims.get("method"), claims.get("requestId")) != received:
        raise HTTPException(403, "signed for another request")
    return claims


Claims = Annotated[dict, Depends(verify)]


@app.get("/login")
def login_page(next: str = "/"):
    return HTMLResponse(f"""<!doctype html><html lang="en"><title>Sign in</title>
      <form method="post" action="/login"><input type="hidden" name="next" value="{escape(next)}">
      <input name="email" data-testid="email"><input name="password" type="password" data-testid="password">
      <button data-testid="sign-in">Sign in</button></form></html>""")


@app.post("/login")
def login(email: Annotated[str, Form()], password: Annotated[str, Form()], next: Annotated[str, Form()]):
    if PASSWORDS.get(email) != password:
        raise HTTPException(401)
    now = int(time.time())
    claims = {"userId": "usr_ada", "sessionId": uuid.uuid4().hex, "iat": now, "exp": now + 8 * 3600}
    response = RedirectResponse(next, 303)
    token = jwt.encode(claims, os.environ["AUTH_SECRET"], algorithm="HS256")
    response.set_cookie("mk_session", token, max_age=8 * 3600, httponly=True, samesite="lax", secure=True)
    return response


@app.get("/notes/{name}")
def note(name: str, claims: Claims, a: Annotated[list[str], Query(alias="a[]")] = [], q: str | None = None,
         said: str = "", uploaded: str = ""):
    seen = {"name": name, "a": a, "q": q, "user": claims["userId"]}
    return HTMLResponse(f"""<!doctype html><html lang="en"><title>Notes</title><h1>Notes</h1>
      <pre data-testid="seen">{escape(json.dumps(seen))}</pre>
      <p><a href="/notes/two" data-testid="link">Two</a></p>
      <form method="post"><input name="text" data-testid="text"><button data-testid="send">Send</button></form>
      <output data-testid="said">{escape(said)}</output>
      <form method="post" action="/notes/one/file" enctype="multipart/form-data">
      <input type="file" name="file" data-testid="file"><button data-testid="upload">Upload</button></form>
      <output data-testid="uploaded">{escape(uploaded)}</output>
      <form method="post" action="/api/auth/logout"><button data-testid="sign-out">Sign out</button></form></html>""")


@app.post("/notes/{name}")
def say(name: str, claims: Claims, text: Annotated[str, Form()]):
    return RedirectResponse(f"/notes/{quote(name)}?said={quote(text)}", 303)


@app.post("/notes/{name}/file")
async def upload(name: str, claims: Claims, file: UploadFile):
    content = await file.read()
    return RedirectResponse(f"/notes/{name}?uploaded={len(content)} {hashlib.sha256(content).hexdigest()}", 303)


@app.get("/api/data")
def data(claims: Claims):
    return {"user": claims["userId"]}


@app.get("/api/stream")
async def stream(claims: Claims):
    async def lines():
        go_on.clear()
        yield "data: one\n\n"
        await go_on.wait()
        yield "data: two\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


@app.post("/api/stream/go")
async def go(claims: Claims):
    go_on.set()
    return {}


@app.websocket("/api/socket")
async def socket(websocket: WebSocket):
    await websocket.accept()
    while (text := await websocket.receive_text()) != "close":
        await websocket.send_text(text)
    await websocket.close(4001, "as asked")
