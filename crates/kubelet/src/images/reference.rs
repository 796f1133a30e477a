//! Image names.

/// The name with `:latest` added where it has neither tag nor digest. `None` if it cannot be an image name.
pub fn with_default_tag(image: &str) -> Option<String> {
    let image = image.trim();
    let valid = |character: char| character.is_ascii_alphanumeric() || "._-/:@+[]".contains(character);
    if image.is_empty()
        || !image.chars().all(valid)
        || image.starts_with(['/', ':', '@'])
        || image.contains("//")
    {
        return None;
    }
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    if digest.is_some_and(|digest| !digest.contains(':')) {
        return None;
    }
    // A colon before the last slash belongs to a registry's port.
    let last = name.rsplit('/').next().unwrap_or(name);
    let path = name.split_once('/').map_or(name, |(_, path)| path);
    if path.split(':').next().unwrap_or(path).chars().any(char::is_uppercase) {
        return None;
    }
    Some(if digest.is_some() || last.contains(':') { image.to_owned() } else { format!("{image}:latest") })
}

/// Whether the name has the tag `latest`, given or implied; decides the default pull policy.
pub fn is_latest(image: &str) -> bool {
    with_default_tag(image).is_some_and(|image| !image.contains('@') && image.ends_with(":latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_a_tag() {
        for (image, expected) in [
            ("busybox", Some("busybox:latest")),
            ("registry:5000/a/b", Some("registry:5000/a/b:latest")),
            ("a/b:1.2", Some("a/b:1.2")),
            ("a@sha256:00", Some("a@sha256:00")),
            ("", None),
            ("a b", None),
            ("Upper", None),
        ] {
            assert_eq!(with_default_tag(image).as_deref(), expected, "{image}");
        }
        assert!(is_latest("busybox") && !is_latest("busybox:1"));
    }
}
