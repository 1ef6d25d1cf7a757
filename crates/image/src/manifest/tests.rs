use std::collections::BTreeMap;

use super::*;
use crate::Platform;
use crate::blobs::MemoryBlobs;
use crate::descriptor::with_platform;
use crate::media_type::*;
use crate::testing::{chain, image, put};

fn descriptor_json(media_type: &str, size: i64) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{:064x}","size":{size}}}"#, size.unsigned_abs())
}

/// The text of a manifest with a configuration and one layer, and `extra` fields in front.
fn document(extra: &str, layer: &str) -> String {
    let config = descriptor_json(OCI_CONFIG, 2);
    format!(r#"{{"schemaVersion":2,{extra}"config":{config},"layers":[{}]}}"#, descriptor_json(layer, 3))
}

fn parse(text: &str, media_type: Option<&str>) -> Result<Manifest, Error> {
    Manifest::parse(text.as_bytes().to_vec(), media_type)
}

#[track_caller]
fn check_type(text: &str, said: Option<&str>, expected: &str) {
    let manifest = parse(text, said).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(manifest.media_type, expected);
    assert_eq!(manifest.bytes, text.as_bytes());
    assert_eq!(manifest.digest, Digest::of(text.as_bytes()));
}

#[track_caller]
fn check_invalid(text: &str, said: Option<&str>, reason: &str) {
    let error = chain(&parse(text, said).expect_err(text));
    assert!(error.contains(reason), "{error}");
}

#[test]
fn the_type_is_found_where_anybody_says_it() {
    let plain = document("", OCI_LAYER_GZIP);
    let own = document(&format!(r#""mediaType":"{OCI_MANIFEST}","#), OCI_LAYER_GZIP);
    check_type(&plain, None, OCI_MANIFEST);
    check_type(&plain, Some("application/json"), OCI_MANIFEST);
    check_type(&plain, Some(DOCKER_MANIFEST), DOCKER_MANIFEST);
    check_type(&plain, Some(&format!("{OCI_MANIFEST}; charset=utf-8")), OCI_MANIFEST);
    check_type(&own, None, OCI_MANIFEST);
    check_type(&own, Some("text/plain"), OCI_MANIFEST);
    check_type(&plain.replace(OCI_CONFIG, DOCKER_CONFIG), None, DOCKER_MANIFEST);
    check_type(r#"{"schemaVersion":2,"manifests":[]}"#, None, OCI_INDEX);
    check_type(r#"{"schemaVersion":2,"manifests":null}"#, None, OCI_INDEX);
    check_type(&format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","manifests":[]}}"#), None, DOCKER_LIST);
    let no_layers = format!(r#"{{"schemaVersion":2,"config":{},"layers":null}}"#, descriptor_json(OCI_CONFIG, 2));
    check_type(&no_layers, None, OCI_MANIFEST);
}

#[test]
fn contradictions_are_refused() {
    let own = document(&format!(r#""mediaType":"{OCI_MANIFEST}","#), OCI_LAYER);
    check_invalid(&own, Some(DOCKER_MANIFEST), "but came as `application/vnd.docker");
    check_invalid(&document("", OCI_LAYER), Some(OCI_INDEX), "it is a manifest, but came as");
    check_invalid(&document(r#""manifests":[],"#, OCI_LAYER), None, "both a manifest and an index");
    check_invalid(r#"{"schemaVersion":2,"manifests":[]}"#, Some(OCI_MANIFEST), "it is an index, but came as");
    check_invalid(r#"{"schemaVersion":2,"mediaType":"text/html"}"#, Some(OCI_MANIFEST), "type `text/html`");
    check_invalid(r#"{"schemaVersion":2}"#, None, "neither a manifest nor an index");
}

#[test]
fn schema_1_is_refused_with_a_way_out() {
    let reason = "Docker's schema 1, which is no longer supported; push the image again";
    check_invalid(r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#, None, reason);
    check_invalid(&document("", OCI_LAYER), Some(DOCKER_SCHEMA_1[0]), reason);
    check_invalid(&document("", OCI_LAYER), Some(DOCKER_SCHEMA_1[1]), reason);
}

#[test]
fn sizes_and_digests_are_checked() {
    let good = document("", OCI_LAYER);
    check_invalid(&good.replace(r#""size":3"#, r#""size":-3"#), None, "invalid value: integer `-3`");
    check_invalid(&good.replace(r#""size":3"#, r#""size":9223372036854775807"#), None, "its sizes cannot be true");
    check_invalid(&good.replace(r#""size":3"#, r#""size":1e99"#), None, "invalid type");
    check_invalid(&good.replace(r#""schemaVersion":2"#, r#""schemaVersion":3"#), None, "schema version is 3");
    let sha512 = good.replacen(&format!("sha256:{:064x}", 3), &format!("sha512:{:0128x}", 3), 1);
    check_invalid(&sha512, None, "expected `sha256:`");
    check_invalid(&good.replace("sha256:", "../../"), None, "invalid manifest");
    check_invalid("", None, "EOF");
    check_invalid("[]", None, "invalid type: sequence");
    check_invalid("<html>", None, "expected value");
    let many = vec![descriptor_json(OCI_LAYER, 3); MAX_LAYERS + 1].join(",");
    let many = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{many}]}}"#, descriptor_json(OCI_CONFIG, 2));
    check_invalid(&many, None, "20001 layers");
    let error = Manifest::parse(vec![b' '; MAX_MANIFEST + 1], None).unwrap_err();
    assert_eq!(error.to_string(), "manifest has 4194305 bytes, more than the 4194304 allowed");
}

#[track_caller]
fn check_encoding(layer: &str, expected: Option<LayerEncoding>) {
    let layers = parse(&document("", layer), None).unwrap().layers();
    match (layers, expected) {
        (Ok(layers), Some(encoding)) => assert_eq!(layers.first().map(|layer| layer.encoding), Some(encoding)),
        (Err(error), None) => assert!(error.to_string().contains(layer), "{error}"),
        (layers, _) => panic!("{layer}: {layers:?}"),
    }
}

#[test]
fn layers_have_known_types() {
    for (layer, expected) in [
        (OCI_LAYER, Some(LayerEncoding::Plain)),
        (OCI_LAYER_GZIP, Some(LayerEncoding::Gzip)),
        (OCI_LAYER_ZSTD, Some(LayerEncoding::Zstd)),
        (DOCKER_LAYER_GZIP, Some(LayerEncoding::Gzip)),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Some(LayerEncoding::Gzip)),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Some(LayerEncoding::Zstd)),
        ("application/vnd.in-toto+json", None),
        ("application/vnd.oci.image.layer.v1.tar+xz", None),
    ] {
        check_encoding(layer, expected);
    }
}

#[test]
fn an_artifact_can_be_read_but_is_no_image() {
    let text = document("", OCI_LAYER).replace(OCI_CONFIG, "application/vnd.cncf.helm.config.v1+json");
    let error = parse(&text, None).unwrap().config().unwrap_err().to_string();
    assert!(error.contains("no image: its configuration is of type `application/vnd.cncf.helm"), "{error}");
    let index = parse(r#"{"schemaVersion":2,"manifests":[]}"#, None).unwrap();
    assert!(index.layers().unwrap_err().to_string().contains("an index of several images"));
}

#[test]
fn configuration_and_manifest_have_equally_many_layers() {
    let blobs = MemoryBlobs::new();
    let manifest = image(&blobs, "a");
    let mut config = crate::testing::config("a");
    manifest.check_layers(&config).unwrap();
    config.rootfs.diff_ids.pop();
    let error = manifest.check_layers(&config).unwrap_err().to_string();
    assert_eq!(error, "the configuration has 1 layers, the manifest 2");
}

fn layer(encoding: LayerEncoding, style: Style, byte: u8) -> Descriptor {
    descriptor(encoding.media_type(style), Digest::from_bytes([byte; 32]), u64::from(byte))
}

#[test]
fn a_manifest_is_written_in_one_way() {
    let config = descriptor(DOCKER_CONFIG, Digest::from_bytes([1; 32]), 7);
    let mut gzip = layer(LayerEncoding::Gzip, Style::Docker, 2);
    gzip.set_annotations(Some([("z".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())].into()));
    let layers = [gzip, layer(LayerEncoding::Zstd, Style::Oci, 3)];
    let annotations = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let hex = |byte| crate::digest::hex(&[byte; 32]);

    let oci = Manifest::build(&config, &layers, Style::Oci, &annotations).unwrap();
    let expected = format!(
        r#"{{
  "schemaVersion": 2,
  "mediaType": "{OCI_MANIFEST}",
  "config": {{
    "mediaType": "{OCI_CONFIG}",
    "digest": "sha256:{}",
    "size": 7
  }},
  "layers": [
    {{
      "mediaType": "{OCI_LAYER_GZIP}",
      "digest": "sha256:{}",
      "size": 2,
      "annotations": {{
        "a": "2",
        "z": "1"
      }}
    }},
    {{
      "mediaType": "{OCI_LAYER_ZSTD}",
      "digest": "sha256:{}",
      "size": 3
    }}
  ],
  "annotations": {{
    "k": "v"
  }}
}}"#,
        hex(1),
        hex(2),
        hex(3)
    );
    assert_eq!(String::from_utf8(oci.bytes.clone()).unwrap(), expected);
    assert_eq!((oci.style(), oci.media_type), (Style::Oci, OCI_MANIFEST));
    assert_eq!(oci.config().unwrap(), (Digest::from_bytes([1; 32]), 7));

    let docker = Manifest::build(&config, &layers, Style::Docker, &annotations).unwrap();
    let text = String::from_utf8(docker.bytes.clone()).unwrap();
    assert!(!text.contains("annotations") && !text.contains("vnd.oci"), "{text}");
    assert_eq!((docker.style(), docker.media_type), (Style::Docker, DOCKER_MANIFEST));
    assert_eq!(docker.layers().unwrap()[1].encoding, LayerEncoding::Zstd);
}

#[test]
fn an_index_is_written_in_one_way_and_selected_from() {
    let blobs = MemoryBlobs::new();
    let platforms = ["linux/amd64", "linux/arm/v6"].map(|text| text.parse::<Platform>().unwrap());
    let manifests = [0, 1].map(|i| with_platform(put(&blobs, OCI_MANIFEST, format!("{i}").as_bytes()), &platforms[i]));
    let index = Manifest::build_index(&manifests, Style::Oci, &BTreeMap::new()).unwrap();
    let text = String::from_utf8(index.bytes.clone()).unwrap();
    assert!(text.starts_with(&format!("{{\n  \"schemaVersion\": 2,\n  \"mediaType\": \"{OCI_INDEX}\",\n")), "{text}");
    let platform = "\"platform\": {\n        \"architecture\": \"arm\",\n        \"os\": \"linux\",\n        \"variant\": \"v6\"\n      }";
    assert!(text.contains(platform), "{text}");
    let entries = index.as_index().unwrap().manifests();
    assert_eq!(Platform::of(&entries[1]), Some(platforms[1].clone()));
    assert_eq!(platforms[0].select(entries).unwrap(), &manifests[0]);
    assert_eq!(index.descriptor().media_type().as_ref(), OCI_INDEX);
    let docker = Manifest::build_index(&manifests, Style::Docker, &BTreeMap::new()).unwrap();
    assert_eq!(docker.media_type, DOCKER_LIST);
}

#[test]
fn a_manifest_that_no_registry_would_take_is_not_made() {
    let config = layer(LayerEncoding::Plain, Style::Oci, 1);
    let annotations = BTreeMap::from([("a".to_owned(), "b".repeat(MAX_MANIFEST))]);
    let error = Manifest::build(&config, &[], Style::Oci, &annotations).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}
