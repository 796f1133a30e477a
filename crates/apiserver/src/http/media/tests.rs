use super::*;

fn check(accept_header: &str, want: std::result::Result<(Format, Option<Shape>), u16>) {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, accept_header.parse().unwrap());
    let got = accept(&headers, true, false).map(|a| (a.format, a.shape.map(|(s, _)| s))).map_err(|e| e.code);
    assert_eq!(got, want, "{accept_header}");
}

#[test]
fn accepted() {
    check("*/*", Ok((Format::Json, None)));
    check("text/html, application/json", Ok((Format::Json, None)));
    check(
        "application/cbor;q=1,application/vnd.kubernetes.protobuf;q=0.8,application/json;q=0.5",
        Ok((Format::Protobuf, None)),
    );
    check("application/json;q=abc", Ok((Format::Json, None)));
    check("application/json;as=Table;v=v9;g=meta.k8s.io, application/json", Ok((Format::Json, None)));
    check("application/yaml;as=Table;v=v1;g=meta.k8s.io", Ok((Format::Yaml, Some(Shape::Table))));
    check("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", Err(406));
    check("application/json;as=Table;v=v1;g=x", Err(406));
    check("not a media type", Err(406));
    check("Application/JSON", Err(406));
}
