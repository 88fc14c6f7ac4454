// Vestibule's configuration, as for production, with rules for an application of medium size.

export const ORIGIN = "https://app.example";

const rule = (path, access, ...methods) => ({
  path,
  access,
  ...(methods.length > 0 && { methods }),
  operation: path.match(/[a-z]+/g).join("."),
});

export const VARIABLES = {
  ENVIRONMENT: "production",
  PUBLIC_ORIGINS: [ORIGIN],
  SESSION: { check: "token", lifetime: "30d", refresh_after: "1d" },
  ROUTES: [
    { ...rule("/api/login", "public", "POST"), redirects: "strict", login: true },
    rule("/assets/{*rest}", "public", "GET"),
    rule("/favicon.ico", "public", "GET"),
    rule("/robots.txt", "public", "GET"),
    rule("/api/status/{code}", "optional"),
    rule("/api/events", "authenticated", "GET"),
    rule("/api/socket", "user", "GET"),
    { ...rule("/api/uploads", "user", "POST", "PUT"), csrf: "strict", timeout: "5m" },
    rule("/api/orders", "user", "GET", "POST"),
    rule("/api/orders/{id}", "user", "GET", "DELETE"),
    rule("/api/orders/{id}/items", "user", "GET", "POST"),
    rule("/api/orders/{id}/items/{item}", "user"),
    rule("/api/customers", "user", "GET", "POST"),
    rule("/api/customers/{id}", "user"),
    rule("/api/customers/{id}/addresses", "user"),
    rule("/api/invoices/{id}", "user", "GET"),
    rule("/api/invoices/{id}/pdf", "user", "GET"),
    rule("/api/search", "authenticated", "GET"),
    rule("/api/settings/{*rest}", "user"),
    rule("/m/{id}", "user", "GET"),
  ],
};
