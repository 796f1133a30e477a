//! Query strings.

/// Decoded parameters in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads what follows the question mark.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self { pairs: decoded.map(|(key, value)| (decode(key), decode(value))).collect() }
    }

    /// The first value of a parameter; empty ones count as absent.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next().filter(|value| !value.is_empty())
    }

    /// All values of a parameter.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Whether any of these parameters is `1` or `true`.
    pub fn flag(&self, keys: &[&str]) -> bool {
        keys.iter().any(|key| matches!(self.get(key), Some("1" | "true")))
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                let byte =
                    std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                match byte {
                    Some(byte) => {
                        out.push(byte);
                        rest = after;
                    }
                    None => out.push(b'%'),
                }
            }
            (byte, _) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("command=sh&command=-c&command=echo%20a%2Bb+c&tty=1&empty=&x");
        assert_eq!(query.all("command").collect::<Vec<_>>(), ["sh", "-c", "echo a+b c"]);
        assert!(query.flag(&["stdin", "tty"]) && query.get("empty").is_none() && query.get("x").is_none());
    }
}
