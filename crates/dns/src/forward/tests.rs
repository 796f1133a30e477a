use super::*;

#[test]
fn resolv_conf_is_read_without_ourselves() {
    let text = "# comment\nsearch a b\nnameserver 127.0.0.53\n nameserver 192.0.2.1 # first\nnameserver fe80::1%eth0\nnameserver\nnameserver x\n";
    let found = resolvers(text, |ip| ip.is_loopback());
    assert_eq!(found, ["192.0.2.1:53".parse().unwrap(), "[fe80::1]:53".parse::<SocketAddr>().unwrap()]);
}
