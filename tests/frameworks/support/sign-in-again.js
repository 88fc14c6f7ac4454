// Where a script's request finds the session expired, the door says where to sign in: go there.
const { fetch } = window;
window.fetch = async (...request) => {
  const response = await fetch(...request);
  const login = response.headers.get("X-Vestibule-Login-URL");
  if (response.status === 401 && login) location.assign(login);
  return response;
};
