//! What kinds and common fields are, in a few words, for `kubectl explain`. Most fields speak for themselves.

use api_types::resource;
use api_types::schema::{self, Schema};

/// One sentence about a kind that is a resource.
pub fn kind(node: &Schema) -> Option<String> {
    let (group, version, kind) = schema::gvk_of(&node.type_name)?;
    let info = resource::find_kind(group, version, kind)?;
    let scope = if info.namespaced { "an object in a namespace" } else { "an object of the whole cluster" };
    Some(format!("{kind} is {scope}, served as {}.", info.group_resource()))
}

/// A few words about a field, where the same name means the same everywhere or the type is one that everybody meets.
pub fn field(owner: &str, name: &str) -> Option<&'static str> {
    own(owner, name).or_else(|| common(name))
}

fn common(name: &str) -> Option<&'static str> {
    Some(match name {
        "apiVersion" => "Group and version of the kind, such as apps/v1.",
        "kind" => "Which kind of object this is, such as Pod.",
        "metadata" => "What all objects have: name, labels, owners, versions.",
        "spec" => "What is wanted.",
        "status" => "What is, as observed; set by the system.",
        "items" => "The objects of the list.",
        "conditions" => "Observations, each of a type, with a status of True, False or Unknown and a reason.",
        "observedGeneration" => "The generation of the object that the status is about.",
        "lastTransitionTime" => "When the status changed last.",
        "selector" => "Which pods belong to the object, by their labels.",
        "template" => "What new objects look like.",
        "replicas" => "How many pods are wanted, or how many there are.",
        "matchLabels" => "Labels that must have these values.",
        "matchExpressions" => "Requirements on labels, all of which must hold.",
        _ => return None,
    })
}

fn own(owner: &str, name: &str) -> Option<&'static str> {
    match owner {
        "meta/v1.ObjectMeta" => meta(name),
        "core/v1.PodSpec" => pod(name),
        "core/v1.Container" | "core/v1.EphemeralContainer" => container(name),
        "core/v1.ServiceSpec" | "core/v1.ServicePort" => service(name),
        "core/v1.ConfigMap" => Some(match name {
            "data" => "Texts by key.",
            "binaryData" => "Bytes by key, in base64.",
            "immutable" => "The content can never change again.",
            _ => return None,
        }),
        "core/v1.Secret" => Some(match name {
            "data" => "Bytes by key, in base64.",
            "stringData" => "Texts by key, taken over into data; never read back.",
            "type" => "What the secret is for; decides which keys it must have.",
            "immutable" => "The content can never change again.",
            _ => return None,
        }),
        _ => None,
    }
}

fn meta(name: &str) -> Option<&'static str> {
    Some(match name {
        "name" => "Unique among the objects of the kind in the namespace; cannot change.",
        "generateName" => "Beginning of a name that the server completes.",
        "namespace" => "Where the object lives; cannot change.",
        "labels" => "Keys and values by which objects are selected.",
        "annotations" => "Keys and values that nobody selects by.",
        "uid" => "Distinguishes objects that had the same name at different times.",
        "resourceVersion" => "Changes with each write; send it back to be told of conflicts.",
        "generation" => "Counts changes of what is wanted.",
        "creationTimestamp" => "When the object was made.",
        "deletionTimestamp" => "When deletion began; the object goes when its finalizers are gone.",
        "deletionGracePeriodSeconds" => "How long the object has to end, once deletion has begun.",
        "finalizers" => "Who has to clean up before the object may go.",
        "ownerReferences" => "Objects that this one goes with.",
        "managedFields" => "Who has set which fields.",
        _ => return None,
    })
}

fn pod(name: &str) -> Option<&'static str> {
    Some(match name {
        "containers" => "What runs in the pod.",
        "initContainers" => {
            "What runs first, one after the other; with restartPolicy Always also beside the containers."
        }
        "volumes" => "Directories that containers can mount.",
        "restartPolicy" => "When ended containers are started again.",
        "nodeName" => "Node that the pod is on; set by the scheduler.",
        "nodeSelector" => "Labels that the node must have.",
        "affinity" => "Which nodes, and which other pods nearby, are wanted or shunned.",
        "tolerations" => "Taints of nodes that the pod puts up with.",
        "topologySpreadConstraints" => "How pods are spread over zones, nodes and the like.",
        "serviceAccountName" => "Service account that the pod acts as.",
        "terminationGracePeriodSeconds" => "Seconds from the signal to end until the pod is killed.",
        "activeDeadlineSeconds" => "Seconds that the pod may run.",
        "hostNetwork" => "Use the node's network instead of an own one.",
        "securityContext" => "Users, groups and rights of all containers.",
        "priorityClassName" => "How important the pod is to the scheduler.",
        "imagePullSecrets" => "Secrets with credentials for registries.",
        "schedulerName" => "Who finds a node for the pod.",
        _ => return None,
    })
}

fn container(name: &str) -> Option<&'static str> {
    Some(match name {
        "name" => "Unique in the pod; cannot change.",
        "image" => "Image to run, with a tag or digest.",
        "imagePullPolicy" => "When the image is fetched: Always, IfNotPresent or Never.",
        "command" => "Replaces the image's entry point.",
        "args" => "Arguments of the command; replace the image's own.",
        "env" => "Environment variables.",
        "envFrom" => "Config maps and secrets whose keys become environment variables.",
        "ports" => "Ports that the container listens on; for information and by name.",
        "resources" => "CPU, memory and devices: what is reserved, and what is allowed.",
        "volumeMounts" => "Where volumes appear in the file system.",
        "livenessProbe" => "Check whose failure restarts the container.",
        "readinessProbe" => "Check whose failure takes the pod out of its services.",
        "startupProbe" => "Check that must succeed before the others begin.",
        "lifecycle" => "What to do after the start and before the end.",
        "securityContext" => "User, rights and isolation of the container.",
        "workingDir" => "Directory in which the command starts.",
        _ => return None,
    })
}

fn service(name: &str) -> Option<&'static str> {
    Some(match name {
        "ports" => "What the service listens on and where that leads.",
        "port" => "Port of the service.",
        "targetPort" => "Port of the pods, by number or by the name that a container gives it.",
        "nodePort" => "Port on every node.",
        "protocol" => "TCP, UDP or SCTP.",
        "appProtocol" => "Protocol of the application, as a hint.",
        "name" => "Name of the port, unique in the service.",
        "type" => "How far the service reaches: ClusterIP, NodePort, LoadBalancer or ExternalName.",
        "clusterIP" => "Address inside the cluster; None for a service without one.",
        "clusterIPs" => "Addresses inside the cluster, at most one of each family.",
        "externalIPs" => "More addresses at which nodes take traffic for the service.",
        "externalName" => "Name that the service stands for.",
        "sessionAffinity" => "Whether a client stays with the pod that answered first.",
        "externalTrafficPolicy" => "Whether traffic from outside stays on the node where it arrives.",
        "internalTrafficPolicy" => "Whether traffic from inside stays on the node where it begins.",
        _ => return None,
    })
}
