import hashlib
import json
import threading

from django.contrib.auth.decorators import login_required
from django.http import JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt

go_on = threading.Event()


# The browser keeps no copy, so nobody sees this page by "Back" after a sign-out.
@cache_control(private=True, no_store=True)
@login_required
def note(request, name):
    if request.method == "POST":
        file = request.FILES.get("file")
        if file:
            sum = hashlib.sha256(file.read()).hexdigest()
            request.session["uploaded"] = f"{file.size} {sum}"
        else:
            request.session["said"] = request.POST["text"]
        return redirect(request.path)
    seen = {
        "name": name,
        "a": request.GET.getlist("a[]"),
        "q": request.GET.get("q"),
        "user": request.headers.get("X-User-ID"),
        "url": request.build_absolute_uri(),
    }
    told = {key: request.session.pop(key, "") for key in ("said", "uploaded")}
    return render(request, "note.html", {"seen": json.dumps(seen), **told})


def data(request):
    return JsonResponse({"user": request.headers.get("X-User-ID")})


def stream(request):
    go_on.clear()

    def lines():
        yield "data: one\n\n"
        go_on.wait(60)
        yield "data: two\n\n"

    return StreamingHttpResponse(lines(), content_type="text/event-stream")


@csrf_exempt
def go(request):
    go_on.set()
    return JsonResponse({})
