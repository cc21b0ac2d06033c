//! The HTTP client of all remotes (only here and in its users: `ureq`).

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// A client that gives up after `patience` without a response. Responses with an error status are no errors here.
pub(super) fn agent(patience: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .tls_config(tls(true))
        .user_agent(concat!("macula/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .timeout_resolve(Some(patience))
        .timeout_connect(Some(patience))
        .timeout_send_request(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
}

/// TLS with the certificates that the system trusts; or without verification.
pub(super) fn tls(verified: bool) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .disable_verification(!verified)
        .build()
}
