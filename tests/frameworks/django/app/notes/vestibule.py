from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver


@receiver(user_logged_in)
def remember(request, user, **_):
    request.signs_in = user


def name_who_signs_in(get_response):
    """Tells Vestibule who has signed in: the answer to the login form begins their session there."""

    def middleware(request):
        response = get_response(request)
        user = getattr(request, "signs_in", None)
        if user:
            response["X-Vestibule-Login"] = f"usr_{user.pk}"
        return response

    return middleware
