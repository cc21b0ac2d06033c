//! Unreadable credentials are reported with their variable and without the secret, before any request.

use super::project;

#[test]
fn credentials_that_are_none_are_reported_without_the_secret() {
    let azure = ("AZURE_STORAGE_ACCOUNT_NAME", "lab");
    for (at, variables, says) in [
        ("az://box/p", &[][..], "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
        ("az://box", &[azure, ("AZURE_STORAGE_ACCOUNT_KEY", "no-base64-\u{a7}ecret")], "`az://box` cannot be opened"),
        ("az://box", &[azure, ("AZURE_STORAGE_SAS_KEY", "a-\u{a7}ecret")], "`az://box` cannot be opened"),
        ("gs://box", &[("GOOGLE_SERVICE_ACCOUNT_KEY", "\"a \u{a7}ecret\"")], "GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs://box", &[("GOOGLE_SERVICE_ACCOUNT", "/no/such.json")], "/no/such.json"),
        ("gs://box", &[("GOOGLE_APPLICATION_CREDENTIALS", "/no/such.json")], "/no/such.json"),
        ("s3://box", &[("AWS_ACCESS_KEY_ID", "\u{a7}ecret")], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("s3://box", &[("AWS_CONDITIONAL_PUT", "\u{a7}ecret")], "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ] {
        let space = project(&format!("{at:?}"));
        let mut command = space.command(&["plan", "pipeline.kdl"]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|service| name.starts_with(service))
        }) {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let said = space.finish(command);
        said.code(2).says(&[says, "credentials come from", "MACULA_REMOTE=none"]).says_not(&["\u{a7}ecret"]);
    }
}
