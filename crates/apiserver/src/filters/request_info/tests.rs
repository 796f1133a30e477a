use super::*;

fn check(method: &str, uri: &str, want: &str) {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let info = RequestInfo::parse(&method, path, &Query::parse(query));
    let got = format!(
        "{} {}/{} ns={} {}/{} sub={} rest={}",
        info.verb,
        info.group,
        info.version,
        info.namespace,
        info.resource,
        info.name,
        info.subresource,
        info.rest.join("/")
    );
    assert_eq!(got, want, "{method} {uri}");
}

#[test]
fn paths() {
    check("GET", "/api/v1/namespaces/a/pods/p", "get /v1 ns=a pods/p sub= rest=");
    check("GET", "/api/v1/namespaces/a", "get /v1 ns=a namespaces/a sub= rest=");
    check("PUT", "/api/v1/namespaces/a/finalize", "update /v1 ns=a namespaces/a sub=finalize rest=");
    check("GET", "/api/v1/namespaces/a/pods", "list /v1 ns=a pods/ sub= rest=");
    check("GET", "/api/v1/pods?watch=1", "watch /v1 ns= pods/ sub= rest=");
    check("GET", "/api/v1/watch/namespaces/a/pods", "watch /v1 ns=a pods/ sub= rest=");
    check(
        "DELETE",
        "/apis/apps/v1/namespaces/a/deployments",
        "deletecollection apps/v1 ns=a deployments/ sub= rest=",
    );
    check("GET", "/api/v1/nodes/n/proxy/a/b", "get /v1 ns= nodes/n sub=proxy rest=a/b");
    check("GET", "/api/v1/pods?fieldSelector=metadata.name=x", "list /v1 ns= pods/x sub= rest=");
    check("GET", "/api/v1/namespaces//pods", "list /v1 ns= pods/ sub= rest=");
    check("GET", "/api/v1/namespaces/a/pods/", "list /v1 ns=a pods/ sub= rest=");
    check("GET", "/version", "get / ns= / sub= rest=");
}
