//! Compiles the CRI v1 contract (`proto/cri/v1/api.proto`) into client code, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let contract = root.join("cri/v1/api.proto");
    println!("cargo:rerun-if-changed={}", contract.display());
    let descriptors = protox::compile([&contract], [&root])?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
