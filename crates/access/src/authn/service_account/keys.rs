//! Keys that sign and verify tokens (RFC 7518: RS256, ES256, ES384).

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a key file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read key file {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no key that could be used.
    #[error("key file {path}: {why}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The signing itself failed.
    #[error("cannot sign a token: {0}")]
    Sign(&'static str),
}

/// What a key can sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    Es384,
}

impl Algorithm {
    /// The name in a token's header.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    fn verification(self) -> &'static dyn signature::VerificationAlgorithm {
        match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        }
    }
}

/// A key that verifies tokens.
#[derive(Clone, Debug)]
pub struct PublicKey {
    pub(super) algorithm: Algorithm,
    /// The id that tokens name their key by: base64url of the SHA-256 of the key's SubjectPublicKeyInfo.
    pub(super) id: String,
    /// RSA: the PKCS#1 key; elliptic curves: the point.
    key: Vec<u8>,
    jwk: Value,
}

impl PublicKey {
    /// All keys of a PEM file: public keys, certificates, or private keys, whose public half is taken.
    ///
    /// # Errors
    /// The file cannot be read or has no usable key.
    pub fn load(path: &Path) -> Result<Vec<Self>, KeyError> {
        let content = |why| KeyError::Content { path: path.display().to_string(), why };
        let pem = std::fs::read(path)
            .map_err(|source| KeyError::Read { path: path.display().to_string(), source })?;
        let mut keys = Vec::new();
        for block in Pem::iter_from_buffer(&pem) {
            let block = block.map_err(|e| content(format!("not PEM: {e}")))?;
            keys.extend(from_block(&block).map_err(content)?);
        }
        if keys.is_empty() {
            return Err(content("there is no RSA or ECDSA key or certificate in it".to_owned()));
        }
        Ok(keys)
    }

    fn from_spki(spki: &[u8]) -> Result<Self, String> {
        let (_, info) = SubjectPublicKeyInfo::from_der(spki).map_err(|e| format!("not a public key: {e}"))?;
        let id = BASE64.encode(Sha256::digest(spki));
        let key = info.subject_public_key.data.to_vec();
        match info.parsed().map_err(|e| format!("not a public key: {e}"))? {
            Parsed::RSA(rsa) => {
                let strip = |n: &[u8]| BASE64.encode(&n[n.iter().take_while(|b| **b == 0).count()..]);
                let jwk = json!({"use": "sig", "kty": "RSA", "kid": id, "alg": "RS256",
                    "n": strip(rsa.modulus), "e": strip(rsa.exponent)});
                Ok(Self { algorithm: Algorithm::Rs256, id, key, jwk })
            }
            Parsed::EC(point) => {
                let (algorithm, curve, size) = match key.len() {
                    65 => (Algorithm::Es256, "P-256", 32),
                    97 => (Algorithm::Es384, "P-384", 48),
                    _ => return Err("only the curves P-256 and P-384 are supported".to_owned()),
                };
                let coordinates = &point.data()[1..];
                let jwk = json!({"use": "sig", "kty": "EC", "kid": id, "crv": curve, "alg": algorithm.name(),
                    "x": BASE64.encode(&coordinates[..size]), "y": BASE64.encode(&coordinates[size..])});
                Ok(Self { algorithm, id, key, jwk })
            }
            _ => Err("only RSA and ECDSA keys are supported".to_owned()),
        }
    }

    /// Whether `signature` over `message` was made with this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm.verification(), &self.key).verify(message, signature).is_ok()
    }

    /// The key in the form of RFC 7517.
    pub(super) fn jwk(&self) -> &Value {
        &self.jwk
    }
}

/// A key that signs tokens.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl SigningKey {
    /// The first private key of a PEM file.
    ///
    /// # Errors
    /// The file cannot be read or has no usable private key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let content = |why: String| KeyError::Content { path: path.display().to_string(), why };
        let pem = std::fs::read(path)
            .map_err(|source| KeyError::Read { path: path.display().to_string(), source })?;
        for block in Pem::iter_from_buffer(&pem) {
            let block = block.map_err(|e| content(format!("not PEM: {e}")))?;
            if let Some(key) = private(&block).map_err(content)? {
                return Ok(key);
            }
        }
        Err(content("there is no private key in it".to_owned()))
    }

    /// The half that verifies.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Sign("the RSA key refused"))?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => {
                let signature =
                    pair.sign(&random, message).map_err(|_| KeyError::Sign("the ECDSA key refused"))?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    fn rsa(pair: RsaKeyPair) -> Result<Self, String> {
        let public = PublicKey::from_spki(&der::rsa_public(pair.public().as_ref()))?;
        Ok(Self { pair: Arc::new(Pair::Rsa(pair)), public })
    }

    /// An elliptic key in PKCS#8 form, of whichever curve it is.
    fn ecdsa(pkcs8: impl Fn(&[u8]) -> Vec<u8>) -> Result<Self, String> {
        let random = SystemRandom::new();
        let curves = [
            (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der::P256),
            (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, der::P384),
        ];
        for (algorithm, curve) in curves {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8(curve), &random) {
                let public = PublicKey::from_spki(&der::ec_public(curve, pair.public_key().as_ref()))?;
                return Ok(Self { pair: Arc::new(Pair::Ecdsa(pair)), public });
            }
        }
        Err("only RSA keys and ECDSA keys on P-256 and P-384 that carry their public half are supported"
            .to_owned())
    }
}

fn from_block(block: &Pem) -> Result<Option<PublicKey>, String> {
    match block.label.as_str() {
        "PUBLIC KEY" => PublicKey::from_spki(&block.contents).map(Some),
        "RSA PUBLIC KEY" => PublicKey::from_spki(&der::rsa_public(&block.contents)).map(Some),
        "CERTIFICATE" => {
            let certificate = block.parse_x509().map_err(|e| format!("not a certificate: {e}"))?;
            PublicKey::from_spki(certificate.public_key().raw).map(Some)
        }
        _ => Ok(private(block)?.map(|key| key.public)),
    }
}

fn private(block: &Pem) -> Result<Option<SigningKey>, String> {
    let rsa = |pair: Result<RsaKeyPair, ring::error::KeyRejected>| {
        pair.map_err(|e| format!("the RSA key is refused: {e}")).and_then(SigningKey::rsa).map(Some)
    };
    match block.label.as_str() {
        "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(&block.contents)),
        "EC PRIVATE KEY" => SigningKey::ecdsa(|curve| der::pkcs8_ec(curve, &block.contents)).map(Some),
        "PRIVATE KEY" => match RsaKeyPair::from_pkcs8(&block.contents) {
            Ok(pair) => rsa(Ok(pair)),
            Err(_) => SigningKey::ecdsa(|_| block.contents.clone()).map(Some),
        },
        _ => Ok(None),
    }
}

/// The few DER structures (X.690) around keys that are needed to convert between PEM forms.
mod der {
    /// OBJECT IDENTIFIER prime256v1.
    pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    /// OBJECT IDENTIFIER secp384r1.
    pub(super) const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    /// OBJECT IDENTIFIER ecPublicKey.
    const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    /// OBJECT IDENTIFIER rsaEncryption, NULL.
    const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

    const BIT_STRING: u8 = 0x03;
    const OCTET_STRING: u8 = 0x04;
    const SEQUENCE: u8 = 0x30;

    /// SubjectPublicKeyInfo of a PKCS#1 public key.
    pub(super) fn rsa_public(pkcs1: &[u8]) -> Vec<u8> {
        public(RSA, pkcs1)
    }

    /// SubjectPublicKeyInfo of a point on a curve.
    pub(super) fn ec_public(curve: &[u8], point: &[u8]) -> Vec<u8> {
        public(&[EC, curve].concat(), point)
    }

    /// PKCS#8 of a SEC 1 private key.
    pub(super) fn pkcs8_ec(curve: &[u8], sec1: &[u8]) -> Vec<u8> {
        const VERSION_0: &[u8] = &[0x02, 0x01, 0x00];
        let algorithm = tagged(SEQUENCE, &[EC, curve].concat());
        tagged(SEQUENCE, &[VERSION_0, &algorithm, &tagged(OCTET_STRING, sec1)].concat())
    }

    fn public(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
        let bits = [&[0], key].concat();
        tagged(SEQUENCE, &[tagged(SEQUENCE, algorithm), tagged(BIT_STRING, &bits)].concat())
    }

    fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        let length = content.len().to_be_bytes();
        let significant = &length[length.iter().take_while(|b| **b == 0).count()..];
        match content.len() {
            0..0x80 => out.push(content.len() as u8),
            _ => {
                out.push(0x80 | significant.len() as u8);
                out.extend_from_slice(significant);
            }
        }
        out.extend_from_slice(content);
        out
    }
}
