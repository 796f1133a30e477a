//! Macros beyond the standard ones: loops with two variables (index and element, key and value).

use cel::ParseError;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, operators,
};
use cel::parser::{Macro, MacroExprHelper};

const RESULT: &str = "@result";

/// The function that loops add map entries with; no expression can spell it.
pub(crate) const MAP_INSERT: &str = "cel.@mapInsert";

/// The standard macros, those of optional values, and ours.
pub(super) fn environment() -> cel::Env {
    let mut environment = cel::Env::stdlib();
    let ours: [(&str, usize, Body); 10] = [
        ("all", 3, all),
        ("exists", 3, exists),
        ("existsOne", 3, exists_one),
        ("exists_one", 3, exists_one),
        ("transformList", 3, list),
        ("transformList", 4, list),
        ("transformMap", 3, map),
        ("transformMap", 4, map),
        ("transformMapEntry", 3, entries),
        ("transformMapEntry", 4, entries),
    ];
    for (name, count, body) in ours {
        let expand = Macro::receiver(name, count, move |helper, target, args| {
            let Some(range) = target.take() else { return Ok(None) };
            expand(helper, range, std::mem::take(args), body).map(Some)
        });
        if let Err(error) = environment.add_macro(expand) {
            // Only a future `cel` that brings the macro itself comes here; its own then stands.
            debug_assert!(false, "{name}: {error}");
        }
    }
    environment
}

/// What a loop does with its arguments after the variables.
type Body = fn(&mut Maker<'_, '_>, [String; 2], Vec<IdedExpr>) -> Loop;

struct Loop {
    initial: IdedExpr,
    condition: IdedExpr,
    step: IdedExpr,
    result: IdedExpr,
}

fn expand(
    helper: &mut MacroExprHelper<'_>,
    range: IdedExpr,
    mut args: Vec<IdedExpr>,
    body: Body,
) -> Result<IdedExpr, ParseError> {
    let rest = args.split_off(2);
    let mut names = Vec::with_capacity(2);
    for variable in args {
        match variable.expr {
            Expr::Ident(name) => names.push(name),
            _ => return Err(helper.new_error(variable.id, "argument must be a simple name")),
        }
    }
    let [first, second] = <[String; 2]>::try_from(names).unwrap_or_default();
    if first == second {
        return Err(helper.new_error(range.id, format!("duplicate variable name: {first}")));
    }
    let made = body(&mut Maker(helper), [first.clone(), second.clone()], rest);
    Ok(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range: range,
        iter_var: first,
        iter_var2: Some(second),
        accu_var: RESULT.to_owned(),
        accu_init: made.initial,
        loop_cond: made.condition,
        loop_step: made.step,
        result: made.result,
    }))))
}

struct Maker<'a, 'h>(&'a mut MacroExprHelper<'h>);

impl Maker<'_, '_> {
    fn call(&mut self, function: &str, args: Vec<IdedExpr>) -> IdedExpr {
        self.0.next_expr(Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }))
    }

    fn truth(&mut self, truth: bool) -> IdedExpr {
        self.0.next_expr(Expr::Literal(LiteralValue::Boolean(truth.into())))
    }

    fn number(&mut self, number: i64) -> IdedExpr {
        self.0.next_expr(Expr::Literal(LiteralValue::Int(number.into())))
    }

    fn name(&mut self, name: &str) -> IdedExpr {
        self.0.next_expr(Expr::Ident(name.to_owned()))
    }

    fn result(&mut self) -> IdedExpr {
        self.name(RESULT)
    }

    /// The step, taken only where the filter holds when there is one.
    fn filtered(&mut self, filter: Option<IdedExpr>, step: IdedExpr) -> IdedExpr {
        match filter {
            Some(filter) => {
                let unchanged = self.result();
                self.call(operators::CONDITIONAL, vec![filter, step, unchanged])
            }
            None => step,
        }
    }
}

fn all(make: &mut Maker<'_, '_>, _: [String; 2], mut rest: Vec<IdedExpr>) -> Loop {
    let so_far = make.result();
    let condition = make.call(operators::NOT_STRICTLY_FALSE, vec![so_far]);
    let so_far = make.result();
    rest.insert(0, so_far);
    let step = make.call(operators::LOGICAL_AND, rest);
    Loop { initial: make.truth(true), condition, step, result: make.result() }
}

fn exists(make: &mut Maker<'_, '_>, _: [String; 2], mut rest: Vec<IdedExpr>) -> Loop {
    let so_far = make.result();
    let not = make.call(operators::LOGICAL_NOT, vec![so_far]);
    let condition = make.call(operators::NOT_STRICTLY_FALSE, vec![not]);
    let so_far = make.result();
    rest.insert(0, so_far);
    let step = make.call(operators::LOGICAL_OR, rest);
    Loop { initial: make.truth(false), condition, step, result: make.result() }
}

fn exists_one(make: &mut Maker<'_, '_>, _: [String; 2], mut rest: Vec<IdedExpr>) -> Loop {
    let (so_far, one) = (make.result(), make.number(1));
    let more = make.call(operators::ADD, vec![so_far, one]);
    let step = make.filtered(rest.pop(), more);
    let (count, one) = (make.result(), make.number(1));
    let result = make.call(operators::EQUALS, vec![count, one]);
    Loop { initial: make.number(0), condition: make.truth(true), step, result }
}

fn list(make: &mut Maker<'_, '_>, _: [String; 2], mut rest: Vec<IdedExpr>) -> Loop {
    let item = rest.pop().unwrap_or_default();
    let one = make.0.next_expr(Expr::List(ListExpr::new(vec![item])));
    let so_far = make.result();
    let longer = make.call(operators::ADD, vec![so_far, one]);
    let step = make.filtered(rest.pop(), longer);
    let initial = make.0.next_expr(Expr::List(ListExpr::new(Vec::new())));
    Loop { initial, condition: make.truth(true), step, result: make.result() }
}

fn map(make: &mut Maker<'_, '_>, [key, _]: [String; 2], mut rest: Vec<IdedExpr>) -> Loop {
    let value = rest.pop().unwrap_or_default();
    let (so_far, key) = (make.result(), make.name(&key));
    inserting(make, vec![so_far, key, value], rest.pop())
}

fn entries(make: &mut Maker<'_, '_>, _: [String; 2], mut rest: Vec<IdedExpr>) -> Loop {
    let entry = rest.pop().unwrap_or_default();
    let so_far = make.result();
    inserting(make, vec![so_far, entry], rest.pop())
}

fn inserting(make: &mut Maker<'_, '_>, args: Vec<IdedExpr>, filter: Option<IdedExpr>) -> Loop {
    let larger = make.call(MAP_INSERT, args);
    let step = make.filtered(filter, larger);
    let initial = make.0.next_expr(Expr::Map(MapExpr { entries: Vec::new() }));
    Loop { initial, condition: make.truth(true), step, result: make.result() }
}
