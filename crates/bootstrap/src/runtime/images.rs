//! Images made from files on this machine, and their import into containerd. No registry takes part.
//!
//! An archive is in the format of `docker save`: one layer, a config and a manifest, which containerd, CRI-O's skopeo and
//! Docker all read. The tag of a control-plane image is derived from its content, so a manifest that names it changes
//! exactly when the program does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::failure::{Attempt, Failure, Result};
use crate::files::{self, Mode};
use crate::progress;

/// Name of the file that lists a bundle's images.
const INDEX: &str = "images.json";
/// Where image names live; a name that no registry serves, so nothing is ever pulled by accident.
const DOMAIN: &str = "coxswain.local";

/// The images of a bundle by short name (`kube-apiserver`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bundle {
    #[serde(skip)]
    folder: PathBuf,
    images: BTreeMap<String, Image>,
}

/// One image of a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Full name with tag, as pods refer to it.
    pub reference: String,
    /// The archive's file name inside the bundle's folder.
    pub archive: String,
    /// SHA-256 of the archive, hex.
    pub sha256: String,
}

/// What goes into an image.
struct Recipe {
    name: &'static str,
    tag: Tag,
    /// Host file → path in the image.
    files: Vec<(PathBuf, String)>,
    entrypoint: Vec<&'static str>,
    environment: Vec<String>,
}

enum Tag {
    OfContent,
    Fixed(&'static str),
}

/// Our own programs that become an image each.
const PROGRAMS: [&str; 7] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "coxswain-dns",
    "coxswain-network",
    "pause",
];

/// Builds every image from the programs in `programs` (our own) and the host's packages, into `folder`.
pub fn build(programs: &Path, folder: &Path) -> Result<Bundle> {
    files::make_dir(folder)?;
    let mut bundle = Bundle { folder: folder.to_path_buf(), images: BTreeMap::new() };
    for recipe in recipes(programs)? {
        let (name, image) = make(&recipe, folder)?;
        progress::note(format!("{} ({})", image.reference, image.archive));
        bundle.images.insert(name, image);
    }
    let index = serde_json::to_vec_pretty(&bundle).attempt(|| "render the list of images")?;
    files::write(&folder.join(INDEX), index, Mode::Public)?;
    Ok(bundle)
}

impl Bundle {
    /// Reads the list of images in `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        if !path.exists() {
            return Err(Failure::new(
                format!("open the image bundle {}", folder.display()),
                format!("it has no {INDEX}"),
            )
            .cure("make it with `bootstrap images build --programs DIR --output DIR`, or name another with --images"));
        }
        let mut bundle: Self =
            serde_json::from_str(&files::read(&path)?).attempt(|| format!("parse {}", path.display()))?;
        bundle.folder = folder.to_path_buf();
        Ok(bundle)
    }

    /// The full reference of an image by its short name.
    pub fn reference(&self, name: &str) -> Result<&str> {
        let image = self.images.get(name).ok_or_else(|| {
            Failure::new(
                format!("find the image {name}"),
                format!("{} does not list it", self.folder.display()),
            )
            .cure("build the bundle again with `bootstrap images build`")
        })?;
        Ok(&image.reference)
    }

    /// Every image by its short name.
    pub fn images(&self) -> &BTreeMap<String, Image> {
        &self.images
    }

    /// Imports what the containerd behind `socket` does not have in this version. `imported` is a folder that remembers
    /// which archives were imported.
    pub fn import(&self, socket: &Path, imported: &Path) -> Result<()> {
        let present = present(socket)?;
        for (name, image) in &self.images {
            let mark = imported.join(format!("{name}.sha256"));
            let known = fs::read_to_string(&mark).is_ok_and(|sha256| sha256 == image.sha256);
            if known && present.contains(&image.reference) {
                continue;
            }
            progress::note(format!("importing {}", image.reference));
            let archive = self.folder.join(&image.archive);
            ctr(socket, &["images", "import", "--no-unpack=false", &archive.display().to_string()])
                .or_else(|_| ctr(socket, &["images", "import", &archive.display().to_string()]))?;
            files::write(&mark, &image.sha256, Mode::Public)?;
        }
        Ok(())
    }
}

fn present(socket: &Path) -> Result<BTreeSet<String>> {
    Ok(ctr(socket, &["images", "ls", "-q"])?.lines().map(str::to_owned).collect())
}

/// Runs containerd's own client in the namespace that CRI uses.
fn ctr(socket: &Path, arguments: &[&str]) -> Result<String> {
    let attempted = || format!("run ctr {}", arguments.join(" "));
    let output = Command::new("ctr")
        .args(["--address", &socket.display().to_string(), "--namespace", "k8s.io"])
        .args(arguments)
        .output()
        .attempt(attempted)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let cause = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::new(attempted(), cause).cure("see containerd's log in /var/log/coxswain/containerd.log"))
}

fn recipes(programs: &Path) -> Result<Vec<Recipe>> {
    let mut recipes = Vec::new();
    for name in PROGRAMS {
        let files = vec![(programs.join(name), format!("/{name}"))];
        let entrypoint = vec![Box::leak(format!("/{name}").into_boxed_str()) as &str];
        recipes.push(Recipe { name, tag: Tag::OfContent, files, entrypoint, environment: Vec::new() });
    }
    let etcd = with_libraries(Path::new("/usr/bin/etcd"))?;
    recipes.push(Recipe {
        name: "etcd",
        tag: Tag::OfContent,
        files: etcd,
        entrypoint: vec!["/usr/bin/etcd"],
        environment: Vec::new(),
    });
    for tag in ["v1", "v2"] {
        recipes.push(Recipe {
            name: "testserver",
            tag: Tag::Fixed(tag),
            files: vec![(programs.join("testserver"), "/testserver".into())],
            entrypoint: vec!["/testserver"],
            environment: vec![format!("TESTSERVER_VERSION={tag}")],
        });
    }
    recipes.push(busybox(programs));
    Ok(recipes)
}

/// Debian's static busybox with the applets that tutorials use as links, and `fetch` in place of its wget, which crashes
/// without glibc's shared resolver modules.
fn busybox(programs: &Path) -> Recipe {
    const APPLETS: [&str; 60] = [
        "sh",
        "ls",
        "cat",
        "echo",
        "sleep",
        "nslookup",
        "ping",
        "ip",
        "ps",
        "env",
        "date",
        "hostname",
        "id",
        "mkdir",
        "rm",
        "cp",
        "mv",
        "touch",
        "grep",
        "sed",
        "awk",
        "head",
        "tail",
        "wc",
        "vi",
        "nc",
        "test",
        "true",
        "false",
        "df",
        "mount",
        "kill",
        "stat",
        "tar",
        "[",
        "basename",
        "chmod",
        "chown",
        "cut",
        "dd",
        "dirname",
        "du",
        "expr",
        "find",
        "free",
        "gzip",
        "ln",
        "md5sum",
        "printf",
        "pwd",
        "readlink",
        "seq",
        "sha256sum",
        "sort",
        "tee",
        "timeout",
        "tr",
        "umount",
        "uniq",
        "xargs",
    ];
    let program = PathBuf::from("/bin/busybox");
    let mut files = vec![(program.clone(), "/bin/busybox".to_owned())];
    files.push((programs.join("fetch"), "/bin/fetch".to_owned()));
    files.extend(APPLETS.iter().map(|applet| (program.clone(), format!("/bin/{applet}"))));
    Recipe {
        name: "busybox",
        tag: Tag::Fixed("v1"),
        files,
        entrypoint: vec!["/bin/sh"],
        environment: vec!["PATH=/bin:/sbin:/usr/bin:/usr/sbin".into()],
    }
}

/// A program of the host with the shared libraries that it loads, each at its own path.
fn with_libraries(program: &Path) -> Result<Vec<(PathBuf, String)>> {
    let attempted = || format!("list the libraries of {}", program.display());
    if !program.exists() {
        return Err(Failure::new(format!("put {} into an image", program.display()), "it is not installed")
            .cure("apt-get install etcd-server busybox-static"));
    }
    let output = Command::new("ldd").arg(program).output().attempt(attempted)?;
    let mut files = vec![(program.to_path_buf(), program.display().to_string())];
    for word in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        if word.starts_with('/') && Path::new(word).exists() {
            files.push((PathBuf::from(word), word.to_owned()));
        }
    }
    Ok(files)
}

/// Writes one archive. Only the first entry for a host file holds its content; later ones are hard links to it.
fn make(recipe: &Recipe, folder: &Path) -> Result<(String, Image)> {
    let attempted = || format!("build the image {}", recipe.name);
    let layer = layer(recipe)?;
    let diff_id = hex(&layer);
    let (short, tag) = match recipe.tag {
        Tag::OfContent => {
            (recipe.name.to_owned(), format!("{}-{}", env!("CARGO_PKG_VERSION"), &diff_id[..12]))
        }
        Tag::Fixed(tag) => (format!("{}-{tag}", recipe.name), tag.to_owned()),
    };
    let reference = format!("{DOMAIN}/{}:{tag}", recipe.name);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": recipe.entrypoint, "Env": recipe.environment},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
        "history": [{"created_by": "bootstrap images build"}],
    });
    let config = serde_json::to_vec(&config).attempt(attempted)?;
    let config_name = format!("{}.json", hex(&config));
    let layer_name = format!("{diff_id}/layer.tar");
    let manifest = json!([{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}]);
    let manifest = serde_json::to_vec(&manifest).attempt(attempted)?;

    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in
        [(&config_name, &config), (&layer_name, &layer), (&"manifest.json".to_owned(), &manifest)]
    {
        archive
            .append_data(&mut header(content.len(), 0o644), name, content.as_slice())
            .attempt(attempted)?;
    }
    let archive = archive.into_inner().attempt(attempted)?;
    let file = format!("{short}.tar");
    files::write(&folder.join(&file), &archive, Mode::Public)?;
    Ok((short, Image { reference, archive: file, sha256: hex(&archive) }))
}

fn layer(recipe: &Recipe) -> Result<Vec<u8>> {
    let attempted = || format!("build the image {}", recipe.name);
    let mut layer = tar::Builder::new(Vec::new());
    let mut folders = BTreeSet::from(["tmp".to_owned(), "etc".to_owned()]);
    for (_, target) in &recipe.files {
        for ancestor in Path::new(target).ancestors().skip(1) {
            folders.insert(ancestor.display().to_string().trim_start_matches('/').to_owned());
        }
    }
    for folder in folders.iter().filter(|folder| !folder.is_empty()) {
        let mode = if folder == "tmp" { 0o1777 } else { 0o755 };
        let mut header = header(0, mode);
        header.set_entry_type(tar::EntryType::Directory);
        layer.append_data(&mut header, format!("{folder}/"), std::io::empty()).attempt(attempted)?;
    }
    let resolver = b"hosts: files dns\n";
    layer
        .append_data(&mut header(resolver.len(), 0o644), "etc/nsswitch.conf", resolver.as_slice())
        .attempt(attempted)?;
    let users = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    layer.append_data(&mut header(users.len(), 0o644), "etc/passwd", users.as_slice()).attempt(attempted)?;

    let mut written: BTreeMap<&Path, &str> = BTreeMap::new();
    for (source, target) in &recipe.files {
        let name = target.trim_start_matches('/');
        if let Some(first) = written.get(source.as_path()) {
            if *first != name {
                let mut link = header(0, 0o755);
                link.set_entry_type(tar::EntryType::Link);
                layer.append_link(&mut link, name, first).attempt(attempted)?;
            }
            continue;
        }
        let content = fs::read(source).attempt(|| format!("read {}", source.display()))?;
        layer.append_data(&mut header(content.len(), 0o755), name, content.as_slice()).attempt(attempted)?;
        written.insert(source, name);
    }
    layer.into_inner().attempt(attempted)
}

/// A header without time or owner, so that equal files make equal archives.
fn header(size: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
