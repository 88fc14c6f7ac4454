from django.contrib.auth import views as auth
from django.urls import path
from notes import views

urlpatterns = [
    path("accounts/login/", auth.LoginView.as_view(), name="login"),
    path("notes/<str:name>/", views.note),
    path("api/data", views.data),
    path("api/stream", views.stream),
    path("api/stream/go", views.go),
]
