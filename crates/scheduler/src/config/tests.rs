use super::*;

fn parse(text: &str) -> Configuration {
    let text = format!("apiVersion: {API_VERSION}\nkind: KubeSchedulerConfiguration\n{text}");
    component::config::parse(Path::new("/c.yaml"), &text, &[(API_VERSION, "KubeSchedulerConfiguration")])
        .unwrap()
}

fn names(points: &Points, point: Point) -> Vec<String> {
    points.at(point).into_iter().map(|enabled| format!("{}:{}", enabled.name, enabled.weight)).collect()
}

#[test]
fn a_point_overrides_the_multi_point_list() {
    let config = parse(
        "profiles:
- plugins:
    score: {enabled: [{name: ImageLocality, weight: 9}, {name: Mine, weight: 4}], disabled: [{name: NodeAffinity}]}
",
    );
    let points = Points::new(config.profiles[0].plugins.clone());
    let score = names(&points, Point::Score);
    assert_eq!(score.first().unwrap(), "ImageLocality:9");
    assert_eq!(score.last().unwrap(), "Mine:4");
    assert!(!score.contains(&"NodeAffinity:2".to_owned()));
    assert_eq!(score.iter().filter(|name| name.starts_with("ImageLocality")).count(), 1);
    assert!(names(&points, Point::Filter).contains(&"NodeAffinity:2".to_owned()));
}

#[test]
fn multi_point_changes_weights_and_disables_all() {
    let config = parse("profiles:\n- plugins: {multiPoint: {enabled: [{name: NodeAffinity, weight: 7}]}}\n");
    let points = Points::new(config.profiles[0].plugins.clone());
    assert!(names(&points, Point::Score).contains(&"NodeAffinity:7".to_owned()));
    let config = parse(
        "profiles:\n- plugins: {multiPoint: {disabled: [{name: '*'}], enabled: [{name: PrioritySort}]}}\n",
    );
    assert_eq!(names(&Points::new(config.profiles[0].plugins.clone()), Point::Filter), ["PrioritySort:0"]);
}

#[test]
fn problems_are_reported_together() {
    let config = parse(
        "podMaxBackoffSeconds: 0\nextenders: [{urlPrefix: x}]\npercentageOfNodesToScore: 101\nprofiles: [{schedulerName: a}, {schedulerName: a}]\n",
    );
    let mut problems = Vec::new();
    config.validate(&mut problems);
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn args_have_defaults_and_refuse_unknown_keys() {
    let config = parse(
        "profiles:
- pluginConfig:
  - {name: InterPodAffinity, args: {kind: InterPodAffinityArgs, hardPodAffinityWeight: 5}}
  - {name: NodeResourcesFit, args: {nonsense: 1}}
",
    );
    let args = Args(&config.profiles[0].plugin_config);
    let affinity: InterPodAffinityArgs = args.of("InterPodAffinity").unwrap();
    assert_eq!(affinity.hard_pod_affinity_weight, 5);
    assert!(args.of::<FitArgs>("NodeResourcesFit").is_err());
    assert_eq!(args.of::<FitArgs>("Other").unwrap().scoring_strategy.resources.len(), 2);
}
