//! Which taints a toleration tolerates (KEP-166, KEP-5471 for numbers).

use api_types::k8s::api::core::v1::{Taint, Toleration};

/// Whether `toleration` tolerates `taint`.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let unset_or = |wanted: &Option<String>, found: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == found)
    };
    if !unset_or(&toleration.effect, &taint.effect) || !unset_or(&toleration.key, &taint.key) {
        return false;
    }
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let found = taint.value.as_deref().unwrap_or_default();
    let numbers = || Some((found.parse::<i64>().ok()?, wanted.parse::<i64>().ok()?));
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => wanted == found,
        "Exists" => true,
        "Gt" => numbers().is_some_and(|(found, bound)| found > bound),
        "Lt" => numbers().is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

/// The first taint with an effect that `counts` and that no toleration tolerates.
pub fn untolerated<'a>(
    taints: &'a [Taint],
    tolerations: Option<&Vec<Toleration>>,
    counts: impl Fn(&str) -> bool,
) -> Option<&'a Taint> {
    let tolerated =
        |taint: &Taint| tolerations.into_iter().flatten().any(|toleration| tolerates(toleration, taint));
    taints.iter().find(|taint| counts(&taint.effect) && !tolerated(taint))
}

/// Whether an effect keeps pods away.
pub fn repels(effect: &str) -> bool {
    matches!(effect, "NoSchedule" | "NoExecute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_api() {
        let taint: Taint = serde_yaml::from_str("{key: k, value: '5', effect: NoSchedule}").unwrap();
        let cases = [
            ("{key: k, operator: Exists}", true),
            ("{operator: Exists}", true),
            ("{key: k, value: '5'}", true),
            ("{key: k, operator: Equal, value: '6'}", false),
            ("{key: k, operator: Exists, effect: NoExecute}", false),
            ("{key: other, operator: Exists}", false),
            ("{key: k, operator: Gt, value: '4'}", true),
            ("{key: k, operator: Lt, value: '4'}", false),
            ("{key: k, operator: Lt, value: x}", false),
        ];
        for (text, expected) in cases {
            assert_eq!(tolerates(&serde_yaml::from_str(text).unwrap(), &taint), expected, "{text}");
        }
    }
}
