use super::*;
use crate::api::Offline;

fn volumes(root: &Path) -> Volumes {
    let paths = Paths { root: root.to_owned(), logs: root.join("logs") };
    Volumes::new(Arc::new(paths), Arc::new(Offline))
}

fn pod(volume: &str) -> Pod {
    serde_yaml::from_str(&format!(
        "{{metadata: {{name: p, uid: u, labels: {{a: b}}}}, spec: {{containers: [{{name: c}}], volumes: [{volume}]}}}}"
    ))
    .unwrap()
}

#[tokio::test]
async fn an_unsupported_volume_is_named_with_its_type() {
    let root = tempfile::tempdir().unwrap();
    let pod = pod("{name: data, nfs: {server: s, path: /}}");
    let error = volumes(root.path()).set_up(&pod, &fields::Runtime::default()).await.unwrap_err().to_string();
    assert!(error.contains("\"data\"") && error.contains("nfs"), "{error}");
}

#[tokio::test]
async fn host_path_types_are_checked() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("made");
    for (kind, fine) in
        [("Directory", false), ("DirectoryOrCreate", true), ("Directory", true), ("File", false)]
    {
        let pod = pod(&format!("{{name: h, hostPath: {{path: {}, type: {kind}}}}}", path.display()));
        let result = volumes(root.path()).set_up(&pod, &fields::Runtime::default()).await;
        assert_eq!(result.is_ok(), fine, "{kind}");
    }
}

#[tokio::test]
async fn empty_dir_survives_set_up_and_goes_with_the_pod() {
    let root = tempfile::tempdir().unwrap();
    let (volumes, pod) = (volumes(root.path()), pod("{name: e, emptyDir: {}}"));
    for _ in 0..2 {
        let mounted = volumes.set_up(&pod, &fields::Runtime::default()).await.unwrap();
        std::fs::write(mounted.get("e").unwrap().path.join("file"), "x").unwrap();
    }
    volumes.tear_down("u").unwrap();
    assert!(!root.path().join("pods/u").exists());
}
