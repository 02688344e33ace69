//! The words for what the checker finds.

use boon::{CompileError, ErrorKind, InstanceLocation, InstanceToken, ValidationError};
use serde_json::{Number, Value};

use super::{BASE, guard};

/// What is wrong with a report, in its order. Where the checker counts a list's rest from zero, places end at the
/// list.
pub(super) fn faults(error: &ValidationError<'_, '_>, has_rest: bool) -> Vec<String> {
    Words { whole: "the report", has_rest }.faults(error)
}

/// What is wrong with a schema.
pub(super) fn of_schema(error: &CompileError) -> String {
    let words = match error {
        CompileError::ValidationError { src, .. } => {
            let faults = Words { whole: "the schema", has_rest: false }.faults(src);
            faults.into_iter().next().unwrap_or_else(|| src.to_string())
        }
        CompileError::LoadUrlError { url, .. } | CompileError::UnsupportedDraft { url } => {
            format!("`{url}` is elsewhere, and nothing is read from there")
        }
        CompileError::Bug(why) => why.to_string(),
        other @ (CompileError::ParseUrlError { .. }
        | CompileError::UnsupportedUrlScheme { .. }
        | CompileError::InvalidMetaSchemaUrl { .. }
        | CompileError::MetaSchemaCycle { .. }
        | CompileError::ParseIdError { .. }
        | CompileError::ParseAnchorError { .. }
        | CompileError::DuplicateId { .. }
        | CompileError::DuplicateAnchor { .. }
        | CompileError::InvalidJsonPointer(_)
        | CompileError::JsonPointerNotFound(_)
        | CompileError::AnchorNotFound { .. }
        | CompileError::UnsupportedVocabulary { .. }
        | CompileError::InvalidRegex { .. }) => other.to_string(),
    };
    words.replace(BASE, "")
}

struct Words {
    whole: &'static str,
    has_rest: bool,
}

impl Words {
    fn faults(&self, error: &ValidationError<'_, '_>) -> Vec<String> {
        let at = |what: &str| {
            let place = self.place(&error.instance_location);
            vec![if place.is_empty() { what.to_owned() } else { format!("{place}: {what}") }]
        };
        let kind = &error.kind;
        let of_causes = |words: &Self| -> Vec<String> {
            error.causes.iter().flat_map(|cause| words.faults(cause)).collect()
        };
        if let ErrorKind::Group
        | ErrorKind::Schema { .. }
        | ErrorKind::Reference { .. }
        | ErrorKind::AllOf = kind
        {
            return of_causes(self);
        }
        if let ErrorKind::AnyOf | ErrorKind::OneOf(None) = kind
            && error.causes.iter().any(|cause| self.faults(cause).is_empty())
        {
            // One of them holds after all.
            return Vec::new();
        }
        if let ErrorKind::MultipleOf { got, want } = kind
            && is_multiple(got, want)
        {
            return Vec::new();
        }
        if let ErrorKind::PropertyName { prop } = kind {
            let of_name = of_causes(&Self { whole: "", has_rest: false });
            let named = |what: String| format!("the field name {}: {what}", json(prop));
            return of_name.into_iter().map(named).collect();
        }
        if let ErrorKind::Required { want } = kind {
            let missing = |name: &&str| at(&format!("{} is a required property", json(name)));
            return want.iter().flat_map(missing).collect();
        }
        at(&what(kind))
    }

    fn place(&self, location: &InstanceLocation<'_>) -> String {
        let tokens = location.tokens.iter();
        let kept =
            tokens.take_while(|token| !self.has_rest || matches!(token, InstanceToken::Prop(_)));
        let path: String = kept
            .map(|token| match token {
                InstanceToken::Prop(name) => {
                    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
                }
                InstanceToken::Item(place) => format!("/{place}"),
            })
            .collect();
        if path.is_empty() { self.whole.to_owned() } else { format!("`{path}`") }
    }
}

fn what(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::Type { want, .. } => {
            let names: Vec<String> = want.iter().map(|name| format!("\"{name}\"")).collect();
            let word = if names.len() == 1 { "type" } else { "types" };
            format!("it is not of {word} {}", names.join(", "))
        }
        ErrorKind::Enum { want } => {
            let values: Vec<String> = want.iter().map(Value::to_string).collect();
            format!("it is not one of {}", values.join(", "))
        }
        ErrorKind::Const { want } => format!("{want} was expected"),
        ErrorKind::Format { want, .. } => {
            let name = if *want == guard::REGEX { "regex" } else { want };
            format!("it is not a \"{name}\"")
        }
        ErrorKind::Pattern { want, .. } => format!("it does not match {}", json(want)),
        ErrorKind::MinLength { want, .. } => {
            format!("it is shorter than {}", counted(*want, "character"))
        }
        ErrorKind::MaxLength { want, .. } => {
            format!("it is longer than {}", counted(*want, "character"))
        }
        ErrorKind::MinItems { want, .. } => format!("it has less than {}", counted(*want, "item")),
        ErrorKind::MaxItems { want, .. } => format!("it has more than {}", counted(*want, "item")),
        ErrorKind::MinProperties { want, .. } => format!("it has less than {}", properties(*want)),
        ErrorKind::MaxProperties { want, .. } => format!("it has more than {}", properties(*want)),
        ErrorKind::Minimum { want, .. } => format!("it is less than the minimum of {want}"),
        ErrorKind::Maximum { want, .. } => format!("it is greater than the maximum of {want}"),
        ErrorKind::ExclusiveMinimum { want, .. } => {
            format!("it is less than or equal to the minimum of {want}")
        }
        ErrorKind::ExclusiveMaximum { want, .. } => {
            format!("it is greater than or equal to the maximum of {want}")
        }
        ErrorKind::MultipleOf { want, .. } => format!("it is not a multiple of {want}"),
        ErrorKind::UniqueItems { got: [one, other] } => {
            format!("its entries {one} and {other} are equal")
        }
        ErrorKind::AdditionalProperties { got } => {
            let names: Vec<String> = got.iter().map(|name| json(name)).collect();
            format!("additional properties are not allowed: {}", names.join(", "))
        }
        ErrorKind::AdditionalItems { got } => {
            format!("additional items are not allowed, the last {got}")
        }
        ErrorKind::Dependency { prop, missing }
        | ErrorKind::DependentRequired { prop, missing } => {
            let names: Vec<String> = missing.iter().map(|name| json(name)).collect();
            format!("with {}, it must have {}", json(prop), names.join(", "))
        }
        ErrorKind::FalseSchema => "nothing is allowed here".to_owned(),
        ErrorKind::Not => "it is what the 'not' keyword excludes".to_owned(),
        ErrorKind::AnyOf => {
            "it is not valid under any of the schemas listed in the 'anyOf' keyword".to_owned()
        }
        ErrorKind::OneOf(None) => {
            "it is not valid under any of the schemas listed in the 'oneOf' keyword".to_owned()
        }
        ErrorKind::OneOf(Some(_)) => {
            "it is valid under more than one of the schemas listed in the 'oneOf' keyword"
                .to_owned()
        }
        ErrorKind::Contains => {
            "none of its entries is what the 'contains' keyword asks for".to_owned()
        }
        other @ (ErrorKind::Group
        | ErrorKind::Schema { .. }
        | ErrorKind::ContentSchema
        | ErrorKind::PropertyName { .. }
        | ErrorKind::Reference { .. }
        | ErrorKind::RefCycle { .. }
        | ErrorKind::Required { .. }
        | ErrorKind::MinContains { .. }
        | ErrorKind::MaxContains { .. }
        | ErrorKind::ContentEncoding { .. }
        | ErrorKind::ContentMediaType { .. }
        | ErrorKind::AllOf) => other.to_string(),
    }
}

/// By their digits: the checker divides floats, for which 0.3 is no multiple of 0.1.
fn is_multiple(number: &Number, of: &Number) -> bool {
    let (Some((number, exponent)), Some((of, of_exponent))) = (digits(number), digits(of)) else {
        return false;
    };
    let lowest = exponent.min(of_exponent);
    let scaled = |digits: i128, exponent: i32| {
        let zeros = u32::try_from(exponent - lowest).ok()?;
        digits.checked_mul(10_i128.checked_pow(zeros)?)
    };
    match (scaled(number, exponent), scaled(of, of_exponent)) {
        (Some(number), Some(of)) => number.checked_rem(of) == Some(0),
        _ => false,
    }
}

/// A number as whole digits, and the power of ten they are multiplied with.
fn digits(number: &Number) -> Option<(i128, i32)> {
    let text = number.to_string();
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let exponent: i32 = exponent.parse().ok()?;
    Some((format!("{whole}{rest}").parse().ok()?, exponent - i32::try_from(rest.len()).ok()?))
}

fn json(text: &str) -> String {
    Value::from(text).to_string()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn properties(count: usize) -> String {
    if count == 1 { "1 property".to_owned() } else { format!("{count} properties") }
}
