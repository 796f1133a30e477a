use super::*;

const V1: &str = "\
25 1 0:21 / /sys/fs/cgroup rw shared:5 - tmpfs tmpfs rw,mode=755
26 25 0:22 / /sys/fs/cgroup/cpu,cpuacct rw shared:6 - cgroup cgroup rw,cpu,cpuacct
27 25 0:23 / /sys/fs/cgroup/memory rw shared:7 - cgroup cgroup rw,memory
28 25 0:24 / /sys/fs/cgroup/systemd rw shared:8 - cgroup cgroup rw,xattr,name=systemd
29 25 0:25 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw
";
const V2: &str = "30 1 0:26 / /sys/fs/cgroup rw shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";

fn uid() -> &'static str {
    "0f1e2d3c-aaaa-bbbb-cccc-ddddeeeeffff"
}

#[test]
fn drivers_name_a_pods_cgroup_as_the_runtime_expects() {
    for (driver, root, qos, parent) in [
        (
            Driver::Cgroupfs,
            "/",
            Qos::Burstable,
            "/kubepods/burstable/pod0f1e2d3c-aaaa-bbbb-cccc-ddddeeeeffff",
        ),
        (
            Driver::Cgroupfs,
            "/node1",
            Qos::Guaranteed,
            "/node1/kubepods/pod0f1e2d3c-aaaa-bbbb-cccc-ddddeeeeffff",
        ),
        (
            Driver::Systemd,
            "/",
            Qos::BestEffort,
            "kubepods-besteffort-pod0f1e2d3c_aaaa_bbbb_cccc_ddddeeeeffff.slice",
        ),
    ] {
        let cgroups = Cgroups::from_mountinfo(V1, driver, root).unwrap();
        assert_eq!(cgroups.parent(&cgroups.pod(qos, uid())), parent);
    }
}

#[test]
fn slices_nest_by_prefix() {
    let cgroups = Cgroups::from_mountinfo(V2, Driver::Systemd, "").unwrap();
    let directory = cgroups.pod(Qos::Burstable, "a-b").directory(Driver::Systemd);
    assert_eq!(
        directory,
        Path::new("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_b.slice")
    );
    assert_eq!(
        cgroups.uid_of(&cgroups.class(Qos::Burstable), "kubepods-burstable-poda_b.slice").unwrap(),
        "a-b"
    );
}

#[test]
fn versions_are_told_apart() {
    assert_eq!(Cgroups::from_mountinfo(V1, Driver::Cgroupfs, "/").unwrap().version(), 1);
    assert_eq!(Cgroups::from_mountinfo(V2, Driver::Cgroupfs, "/").unwrap().version(), 2);
    assert!(matches!(Cgroups::from_mountinfo("", Driver::Cgroupfs, "/"), Err(Error::NotMounted { .. })));
}

#[test]
fn v2_hands_controllers_down_and_converts_values() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("cgroup.controllers"), "cpuset cpu io memory pids rdma").unwrap();
    let limits = Limits {
        cpu_shares: Some(1024),
        cpu_quota: Some((50_000, 100_000)),
        memory: Some(1 << 20),
        pids: None,
    };
    v2::ensure(tree.path(), Path::new("kubepods"), &limits).unwrap();
    let read = |file: &str| fs::read_to_string(tree.path().join(file)).unwrap();
    assert_eq!(read("cgroup.subtree_control"), "+cpu +cpuset +memory +pids +io");
    assert_eq!((read("kubepods/cpu.weight"), read("kubepods/cpu.max")), ("39".into(), "50000 100000".into()));
    assert_eq!(read("kubepods/memory.max"), "1048576");
    assert_eq!((v2::weight(2), v2::weight(262_144)), (1, 10_000));
}

#[test]
fn v1_fills_a_new_cpuset_from_its_parent() {
    let tree = tempfile::tempdir().unwrap();
    let mount = v1::Mount { point: tree.path().to_owned(), controllers: vec!["cpuset".into()] };
    for (file, value) in [("cpuset.cpus", "0-1\n"), ("cpuset.mems", "0\n")] {
        fs::write(tree.path().join(file), value).unwrap();
        fs::create_dir_all(tree.path().join("a/b")).unwrap();
        fs::write(tree.path().join("a").join(file), "\n").unwrap();
        fs::write(tree.path().join("a/b").join(file), "\n").unwrap();
    }
    v1::ensure(&[mount], Path::new("a/b"), &Limits::default()).unwrap();
    assert_eq!(fs::read_to_string(tree.path().join("a/b/cpuset.cpus")).unwrap(), "0-1");
}
