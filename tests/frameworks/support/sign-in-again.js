// When a script's request gets a 401 because the session has expired, Vestibule names the login page: go there. The
// browser leaves the page, so the caller gets no answer and shows no error.
const { fetch } = window;
window.fetch = async (...request) => {
  const response = await fetch(...request);
  const login = response.headers.get("X-Vestibule-Login-URL");
  if (response.status !== 401 || !login) return response;
  location.assign(login + location.hash);
  return new Promise(() => {});
};
