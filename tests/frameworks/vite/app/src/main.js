import "./sign-in-again.js";
import { title } from "./title.js";

const app = document.querySelector("#app");

async function show() {
  const { pathname, search } = location;
  if (pathname === "/login") return showLogin();
  const query = new URLSearchParams(search);
  const seen = {
    name: decodeURIComponent(pathname.split("/")[2] ?? ""),
    a: query.getAll("a[]"),
    q: query.get("q"),
  };
  app.innerHTML = `
    <h1 data-testid="title">${title}</h1>
    <pre data-testid="seen"></pre>
    <p><a href="/notes/two" data-testid="link">Two</a></p>
    <form id="say"><input name="text" data-testid="text"><button data-testid="send">Send</button></form>
    <output data-testid="said"></output>
    <p><input type="file" data-testid="file"><button id="upload" data-testid="upload">Upload</button></p>
    <output data-testid="uploaded"></output>
    <form method="post" action="/api/auth/logout"><button data-testid="sign-out">Sign out</button></form>`;
  app.querySelector("pre").textContent = JSON.stringify(seen);
  app.querySelector("a").addEventListener("click", follow);
  app.querySelector("#say").addEventListener("submit", say);
  app.querySelector("#upload").addEventListener("click", upload);
  document.documentElement.dataset.ready = "";
}

async function follow(event) {
  event.preventDefault();
  const response = await fetch("/api/data");
  if (!response.ok) return;
  history.pushState({}, "", event.target.href);
  show();
}

async function say(event) {
  event.preventDefault();
  const { text } = Object.fromEntries(new FormData(event.target));
  const response = await fetch("/api/say", { method: "POST", body: JSON.stringify({ text }) });
  if (response.ok)
    app.querySelector("[data-testid=said]").textContent = (await response.json()).said;
}

async function upload() {
  const [body] = app.querySelector("[type=file]").files;
  const response = await fetch("/api/upload", { method: "POST", body });
  app.querySelector("[data-testid=uploaded]").textContent = (await response.json()).uploaded;
}

function showLogin() {
  app.innerHTML = `
    <form>
      <input name="email" type="email" data-testid="email">
      <input name="password" type="password" data-testid="password">
      <button data-testid="sign-in">Sign in</button>
    </form>`;
  app.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const response = await fetch("/api/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(event.target))),
    });
    // Vestibule redirects a signed-in user from here to the page that they wanted.
    if (response.ok) location.reload();
  });
}

show();
import.meta.hot?.accept("./title.js", (fresh) => {
  app.querySelector("[data-testid=title]").textContent = fresh.title;
});
