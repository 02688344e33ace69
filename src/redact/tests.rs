//! What is hidden, what stays, and that JSON stays JSON. Speed is in `docs/decisions/0014-redaction.md`.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn mask(keys: &[&str]) -> Mask {
    Mask::new(&keys.iter().copied().map(Secret::new).collect::<Vec<_>>())
}

/// `text` has exactly one secret, between `«` and `»`, as a text and as a part of JSON alike.
#[track_caller]
fn hides(text: &str) {
    let mask = mask(&[]);
    let plain = text.replace(['«', '»'], "");
    let (before, rest) = text.split_once('«').unwrap();
    let (_, after) = rest.split_once('»').unwrap();
    let expected = format!("{before}(secret){after}");
    assert_eq!(mask.hide(&plain), expected);
    assert_eq!(mask.hide(&expected), expected);
    for around in ["", "\n", "a\tb\r", "\u{1b}[1;31m", "\u{1}", "ü", "\"", "\\"] {
        let value = json!({ "text": format!("{around}{plain}") });
        let hidden = mask.hide_in_json(&value.to_string(), Spared::Names).into_owned();
        let hidden: Value = serde_json::from_str(&hidden).unwrap();
        assert_eq!(hidden, json!({ "text": format!("{around}{expected}") }));
    }
    // JSON in a text in JSON.
    let twice = json!(json!({ "text": format!("\n{plain}\n") }).to_string()).to_string();
    let hidden: String = serde_json::from_str(&mask.hide_in_json(&twice, Spared::Names)).unwrap();
    let hidden: Value = serde_json::from_str(&hidden).unwrap();
    assert_eq!(hidden, json!({ "text": format!("\n{expected}\n") }));
}

#[track_caller]
fn stays(text: &str) {
    let mask = mask(&["sk-configured-0123"]);
    assert!(matches!(mask.hide(text), Cow::Borrowed(same) if same == text), "{}", mask.hide(text));
    let json = json!({ "text": text }).to_string();
    assert!(matches!(mask.hide_in_json(&json, Spared::Names), Cow::Borrowed(same) if same == json));
}

/// So many letters and digits, put together here so that no scanner finds a key in this file.
fn random(count: usize) -> String {
    "Zx81kQ0pLm7RtY3uBv9NcW2e".chars().cycle().take(count).collect()
}

fn upper(count: usize) -> String {
    "Q7XW3MZP".chars().cycle().take(count).collect()
}

#[test]
fn well_known_shapes_are_hidden() {
    for (before, count) in [
        ("sk-ant-api03-", 90),
        ("sk-proj-", 120),
        ("sk-or-v1-", 64),
        ("sk-svcacct-", 80),
        ("sk-", 48),
        ("sk-", 32),
        ("ghp_", 36),
        ("gho_", 36),
        ("ghu_", 36),
        ("ghs_", 36),
        ("ghr_", 76),
        ("glpat-", 20),
        ("xoxb-123456789012-", 24),
        ("xoxp-1-", 24),
        ("AIza", 35),
        ("npm_", 36),
        ("sk_live_", 24),
        ("rk_live_", 24),
    ] {
        let secret = format!("{before}{}", random(count));
        hides(&format!("«{secret}»"));
        hides(&format!("KEY=«{secret}» next"));
        hides(&format!("x(\"«{secret}»\")."));
    }
    hides(&format!("«AKIA{}»", upper(16)));
    hides(&format!("aws: «ASIA{}», and more", upper(16)));
    hides(&format!("«github_pat_{}_{}»", random(22), random(59)));
    hides(&format!("token «eyJ{}.eyJ{}.{}»;", random(20), random(60), random(43)));
}

#[test]
fn credentials_of_headers_are_hidden() {
    for head in [
        "Authorization: Bearer ",
        "authorization: bearer ",
        "curl -H 'Authorization: Basic ",
        "\"Authorization\": \"Bearer ",
        "headers[\"Authorization\"] = \"Bearer ",
        ".header(\"authorization\", \"Bearer ",
        "Proxy-Authorization: Basic ",
    ] {
        hides(&format!("{head}«{}==»' https://example.org", random(24)));
    }
    stays("Authorization: Bearer $TOKEN");
    stays("the Bearer of bad news, Authorization: none");
    stays("Basic authorisation schemes");
    stays("Authorization: Bearer {token}");
}

#[test]
fn passwords_in_urls_are_hidden_and_placeholders_are_not() {
    hides("postgres://app:«s3cr3t!»@db.example.org:5432/app");
    hides("git clone https://me:«hunter2»@example.org/a.git");
    hides("redis://:«pw»@localhost");
    hides("https://me%40x:«p%20w»@example.org");
    stays("https://example.org:8080/a@b");
    stays("git@example.org:a/b.git and ssh://git@example.org:22/a.git");
    stays("postgres://$USER:$PASSWORD@host and ${scheme}://${user}:${password}@${host}");
    stays("docker://alpine:3.19@sha256:0f3a");
    stays("\"://\" + user + \":\" + password + \"@\"");
    stays("https://a.example/x, b: c@d");
}

fn pem(label: &str, line_break: &str) -> (String, String) {
    let begin = format!("-----BEGIN {label}PRIVATE KEY-----{line_break}");
    let end = format!("{line_break}-----END {label}PRIVATE KEY-----");
    let body = [random(64), random(64), "Kg==".to_owned()].join(line_break);
    (format!("{begin}{body}{end}"), format!("{begin}(secret){end}"))
}

#[test]
fn bodies_of_private_keys_are_hidden() {
    let mask = mask(&[]);
    for label in ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "] {
        for line_break in ["\n", "\r\n", "\\n", "\n    "] {
            let (key, expected) = pem(label, line_break);
            hides(&key.replace(&random(64), "").replace("Kg==", "«Kg==»"));
            let (text, expected) = (format!("a {key} b"), format!("a {expected} b"));
            assert_eq!(mask.hide(&text), expected);
            let json = mask.hide_in_json(&json!([text]).to_string(), Spared::Names).into_owned();
            assert_eq!(json, json!([expected]).to_string());
        }
    }
    let with_headers = format!(
        "-----BEGIN RSA PRIVATE KEY-----\n«Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0F\n\n{}»\n-----END RSA PRIVATE KEY-----",
        random(64)
    );
    hides(&with_headers);
    // Cut off, and with the numbers of lines.
    let (first, second) = (random(64), random(60));
    let cut = format!("-----BEGIN PRIVATE KEY-----\n{first}\n{second}");
    assert_eq!(mask.hide(&cut), "-----BEGIN PRIVATE KEY-----\n(secret)\n(secret)");
    let json = mask.hide_in_json(&json!([cut]).to_string(), Spared::Names).into_owned();
    assert_eq!(json, r#"["-----BEGIN PRIVATE KEY-----\n(secret)\n(secret)"]"#);
    let numbered =
        format!("     1\t-----BEGIN PRIVATE KEY-----\n     2\t{first}\n     3\t{second}");
    assert!(!mask.hide(&numbered).contains(&first), "{}", mask.hide(&numbered));
    let code =
        format!("\"-----BEGIN PRIVATE KEY-----\\n\" +\n  \"{first}\\n\" +\n  \"{second}\\n\";");
    let hidden = "\"-----BEGIN PRIVATE KEY-----\\n\" +\n  \"(secret)\\n\" +\n  \"(secret)\\n\";";
    assert_eq!(mask.hide(&code), hidden);
    let public = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", random(64));
    stays(&public);
    stays(&public.replace("CERTIFICATE", "PUBLIC KEY"));
    stays("strip(\"-----BEGIN PRIVATE KEY-----\", \"-----END PRIVATE KEY-----\")");
    stays(r#"["-----BEGIN PRIVATE KEY-----","a short one","-----END PRIVATE KEY-----"]"#);
}

#[test]
fn what_only_looks_random_stays() {
    for text in [
        "commit 0a1b2c3d4e5f60718293a4b5c6d7e8f901234567",
        "018f4e3a-7c2b-7d3e-9a4b-5c6d7e8f9012",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "xxh3 2d06800538d394c299aa06d3e0c6f0f1",
        "risk-assessment-of-something-that-has-a-long-name-00000000000",
        "class=\"sk-folding-cube-grid-animation-delay-of-each-element\"",
        "const EYJ: &str = \"eyJhbGciOi\"; // no token",
        "let ghp_ = gh_(); npm_config_registry npm_lifecycle_event_and_other_long_names",
        "SK_LIVE_MODE sk_live_ sk_test_mode xoxo-love",
        "AKIA AIzawa ASIAN_COUNTRIES_AND_TERRITORIES MAKIA1234567890ABCDEFGH",
        "fn task-sk-1() { ask-me(); }",
        "https://example.org/a/b?c=d#e, http://[::1]:8080/",
        "C:\\nsk\\sk-1\\rk_live_",
        "",
    ] {
        stays(text);
    }
}

#[test]
fn pictures_and_ordinary_code_stay() {
    let noise = |count: usize| {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes
    };
    let picture = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, noise(3_000_000));
    stays(&picture);
    let url_safe = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE, noise(3_000_000));
    stays(&url_safe);
    let hashes = noise(400_000).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    stays(&hashes);
    for path in walk(concat!(env!("CARGO_MANIFEST_DIR"), "/src")) {
        // Tests have secrets to be hidden.
        let code = std::fs::read_to_string(&path).unwrap();
        let code = code.split("#[cfg(test)]").next().unwrap();
        if !path.ends_with("tests.rs") {
            stays(code);
        }
    }
}

fn walk(folder: &str) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            let name = path.to_str().unwrap().to_owned();
            if path.is_dir() { walk(&name) } else { vec![name] }
        })
        .collect()
}

#[test]
fn configured_keys_are_hidden_wherever_they_occur() {
    let mask = mask(&["key-0123", "key-0123456", "none", " with\"quote\\ü\n "]);
    assert_eq!(mask.hide("a key-0123456, bkey-0123c, none"), "a (key), b(key)c, none");
    assert_eq!(mask.hide("with\"quote\\ü"), "(key)");
    let value = json!({ "key-0123": ["\tkey-0123456", 1, "with\"quote\\ü"] });
    let hidden = mask.hide_in_json(&value.to_string(), Spared::Names).into_owned();
    assert_eq!(hidden, r#"{"(key)":["\t(key)",1,"(key)"]}"#);
    let quoted = json!(value.to_string()).to_string();
    let hidden: String = serde_json::from_str(&mask.hide_in_json(&quoted, Spared::Names)).unwrap();
    assert_eq!(hidden, r#"{"(key)":["\t(key)",1,"(key)"]}"#);
    assert_eq!(mask.hide(&value.to_string()), r#"{"(key)":["\t(key)",1,"(key)"]}"#);
    assert!(!format!("{mask:?}").contains("0123"));
}

#[test]
fn a_key_that_is_a_word_leaves_names_alone() {
    let mask = mask(&["not_delivered", "finished", "key-0123"]);
    let json = r#"{"kind":"not_delivered","finished":"it is finished","key-0123":1}"#;
    let hidden = r#"{"kind":"(key)","finished":"it is (key)","(key)":1}"#;
    assert_eq!(mask.hide_in_json(json, Spared::Names), hidden);
    let hidden = r#"{"kind":"not_delivered","finished":"it is (key)","(key)":1}"#;
    assert_eq!(mask.hide_in_json(json, Spared::Words), hidden);
}

#[test]
fn escapes_are_never_cut() {
    for (key, text) in
        [("nabcdefg", "\nabcdefg"), ("0001abcdef", "\u{1}abcdef"), ("1abcdefgh", "\u{1}abcdefgh")]
    {
        let json = json!([text]).to_string();
        assert_eq!(mask(&[key]).hide_in_json(&json, Spared::Names), json);
    }
    let live = format!("k_live_{}", random(24));
    stays(&format!("\r{live}"));
    assert_eq!(mask(&[]).hide(&format!("\\\\r{live}")), "\\\\(secret)");
}

proptest! {
    /// Whatever a record holds: it is JSON afterwards, of the same shape, and without the key.
    #[test]
    fn json_stays_json(
        parts in proptest::collection::vec(
            prop_oneof![
                "[\\x00-\\x7f]{0,6}",
                "[\\\\\"nrtu01bAé]{0,8}",
                Just("-----BEGIN PRIVATE KEY-----".to_owned()),
                Just("-----END PRIVATE KEY-----".to_owned()),
                Just("Authorization: Bearer ".to_owned()),
                Just("x://u:".to_owned()),
                Just("@".to_owned()),
                Just("sk-ant-0123456789abcdef".to_owned()),
                Just("rk_live_0123456789abcdef".to_owned()),
                Just("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC".to_owned()),
                Just("n\"e\\w-key".to_owned()),
            ],
            0..12,
        ),
        cut in 0_usize..6,
    ) {
        let mask = mask(&["n\"e\\w-key"]);
        let cut = cut.min(parts.len());
        let value = json!({ "a": parts[..cut].concat(), "b": [parts[cut..].concat(), 1] });
        let hidden = mask.hide_in_json(&value.to_string(), Spared::Names).into_owned();
        let parsed: Value = serde_json::from_str(&hidden).expect(&hidden);
        prop_assert!(parsed["a"].is_string() && parsed["b"][0].is_string() && parsed["b"][1] == 1);
        for text in [&parsed["a"], &parsed["b"][0]] {
            prop_assert!(!text.as_str().unwrap().contains("n\"e\\w-key"), "{hidden}");
        }
    }
}
