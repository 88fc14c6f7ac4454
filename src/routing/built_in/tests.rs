//! Tests of the list of built-in routes.

use super::*;

#[test]
fn lists_the_methods_of_each_path() {
    assert_eq!(allowed_methods("/api/auth/me"), "GET, HEAD");
    assert_eq!(allowed_methods("/api/users/{id}"), "GET, HEAD, PATCH, DELETE");
    assert_eq!(allowed_methods("/api/sessions/{id}"), "DELETE");
}

#[test]
fn each_endpoint_and_each_operation_has_one_route() {
    for (at, route) in ROUTES.iter().enumerate() {
        let others = || ROUTES.iter().skip(at.saturating_add(1));
        assert!(others().all(|other| other.endpoint != route.endpoint), "{}", route.path);
        assert!(others().all(|other| other.operation != route.operation), "{}", route.operation);
        let apart = others().skip_while(|other| other.path == route.path);
        assert!(apart.into_iter().all(|other| other.path != route.path), "{} is in two places", route.path);
    }
}
