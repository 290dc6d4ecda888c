//! The JSON schema of a scenario file, for editors.

use super::shape::FileShape;
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

/// The JSON schema (draft 2020-12) of a scenario file, as text: what `scenarios/scenario.schema.json` holds.
pub fn schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null));
    let schema = settings.into_generator().into_root_schema_for::<FileShape>();
    let mut text = serde_json::to_string_pretty(schema.as_value()).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// An optional key may be left out, but TOML has no null that it could be set to.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [only] = &choices[..]
            && let Value::Object(only) = only.clone()
        {
            schema.remove("anyOf");
            for (key, value) in only {
                // The key's own description says more than its type's.
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
}
