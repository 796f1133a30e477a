//! CEL expressions that select devices, over the variable `device`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api_types::k8s::api::resource::v1::DeviceAttribute;
use api_types::quantity::Quantity;
use cel::{Context, Program, Value};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::inventory::Available;

/// Expressions that are kept compiled.
const KEPT: usize = 1024;

/// Compiled expressions. One that cannot be compiled selects nothing; the apiserver refuses such.
#[derive(Default)]
pub struct Selectors {
    compiled: Mutex<HashMap<String, Option<Arc<Program>>>>,
}

impl Selectors {
    /// Whether a device meets an expression. A failure, such as a missing attribute, counts as no.
    pub fn meets(&self, expression: &str, device: &Available) -> bool {
        let Some(program) = self.program(expression) else { return false };
        let mut context = Context::default();
        if let Err(error) = context.add_variable("device", variable(device)) {
            tracing::warn!(device = ?device.id, %error, "cannot show the device to a selector");
            return false;
        }
        if let Err(error) = add_functions(&mut context) {
            tracing::error!(%error, "cannot declare the functions of device selectors");
            return false;
        }
        matches!(program.execute(&context), Ok(Value::Bool(true)))
    }

    fn program(&self, expression: &str) -> Option<Arc<Program>> {
        let mut compiled = self.compiled.lock();
        if let Some(known) = compiled.get(expression) {
            return known.clone();
        }
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        let program = match Program::compile(expression) {
            Ok(program) => Some(Arc::new(program)),
            Err(error) => {
                tracing::warn!(expression, %error, "cannot compile the device selector");
                None
            }
        };
        compiled.insert(expression.to_owned(), program.clone());
        program
    }
}

/// `device`: driver, attributes and capacities, the latter two by domain.
fn variable(available: &Available) -> Json {
    let driver = &available.id.driver;
    let Some(device) = available.device() else { return Json::Null };
    let mut attributes = by_domain(driver);
    for (name, attribute) in device.attributes.iter().flatten() {
        put(&mut attributes, driver, name, plain(attribute));
    }
    let mut capacity = by_domain(driver);
    for (name, amount) in device.capacity.iter().flatten() {
        let amount = Quantity::parse(&amount.value.0).map_or(0.0, Quantity::to_f64);
        put(&mut capacity, driver, name, json!(amount));
    }
    json!({
        "driver": driver,
        "attributes": attributes,
        "capacity": capacity,
        "allowMultipleAllocations": device.allow_multiple_allocations.unwrap_or(false),
    })
}

type ByDomain = BTreeMap<String, BTreeMap<String, Json>>;

fn by_domain(driver: &str) -> ByDomain {
    [(driver.to_owned(), BTreeMap::new())].into()
}

/// Names without a domain are in the driver's.
fn put(domains: &mut ByDomain, driver: &str, name: &str, value: Json) {
    let (domain, name) = name.split_once('/').unwrap_or((driver, name));
    domains.entry(domain.to_owned()).or_default().insert(name.to_owned(), value);
}

fn plain(attribute: &DeviceAttribute) -> Json {
    let text = attribute.string.as_ref().or(attribute.version.as_ref());
    match (attribute.int, attribute.bool, text) {
        (Some(number), ..) => json!(number),
        (_, Some(truth), _) => json!(truth),
        (_, _, Some(text)) => json!(text),
        _ => Json::Null,
    }
}

/// Quantities are numbers here; these are the functions that the API's CEL has for them.
fn add_functions(context: &mut Context<'_, '_>) -> Result<(), cel::DeclarationError> {
    use cel::extractors::This;
    let parse = |text: Arc<String>| Quantity::parse(&text).map_or(f64::NAN, Quantity::to_f64);
    context.add_function("quantity", parse)?;
    context.add_function("compareTo", |This(a): This<f64>, b: f64| -> i64 {
        a.partial_cmp(&b).map_or(0, |order| order as i64)
    })?;
    context.add_function("isGreaterThan", |This(a): This<f64>, b: f64| a > b)?;
    context.add_function("isLessThan", |This(a): This<f64>, b: f64| a < b)
}
