//! Capabilities of the server, and those of the client that it depends on.

use gen_lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProvider, CodeLensOptions, CompletionOptions, DefinitionProvider,
    DocumentFormattingProvider, DocumentHighlightProvider, DocumentSymbolProvider, ExecuteCommandOptions, Full,
    HoverProvider, InitializeParams, InitializeResult, InlayHintProvider, PositionEncodingKind, ReferencesProvider,
    RenameOptions, RenameProvider, Save, SaveOptions, SemanticTokensOptions, SemanticTokensOptionsRange,
    SemanticTokensProvider, ServerCapabilities, ServerInfo, TextDocumentSync, TextDocumentSyncKind,
    TextDocumentSyncOptions, WorkDoneProgressOptions, WorkspaceSymbolProvider,
};

use super::commands::COMMANDS;
use super::legend::legend;
use super::position::Encoding;

/// Client capabilities that the server uses.
#[expect(clippy::struct_excessive_bools, reason = "the protocol has them one by one")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    /// Unit of columns.
    pub(super) encoding: Encoding,
    /// Whether completions may be snippets with placeholders.
    pub(super) snippets: bool,
    /// Whether it supports refreshing inlay hints.
    pub(super) refreshes_hints: bool,
    /// Whether omitted defaults are shown as inlay hints.
    pub(super) defaults: bool,
    /// Whether it watches files on request.
    pub(super) watches_files: bool,
    /// Whether it supports refreshing code lenses.
    pub(super) refreshes_lenses: bool,
    /// Whether it wants code lenses.
    pub(super) lenses: bool,
    /// Maximum length of an inlay hint, in characters.
    pub(super) hint_length: usize,
    /// For each of [`COMMANDS`], whether the client executes it.
    pub(super) executes: [bool; COMMANDS.len()],
}

/// Maximum length of an inlay hint if the client names none, in characters.
const HINT_LENGTH: usize = 60;

impl Client {
    /// Capabilities declared in `initialize`.
    pub(super) fn new(params: &InitializeParams) -> Self {
        let capabilities = &params.capabilities;
        let offered = capabilities.general.as_ref().and_then(|general| general.position_encodings.as_ref());
        let utf8 = offered.is_some_and(|kinds| kinds.contains(&PositionEncodingKind::UTF8));
        let workspace = capabilities.workspace.as_ref();
        let watching = workspace.and_then(|workspace| workspace.did_change_watched_files.as_ref());
        let texts = capabilities.text_document.as_ref();
        let item = texts.and_then(|texts| texts.completion.as_ref()).and_then(|one| one.completion_item.as_ref());
        let hints = workspace.and_then(|workspace| workspace.inlay_hint.as_ref());
        // `initializationOptions: { "defaults": false }` turns them off.
        let options = params.initialization_options.as_ref();
        let defaults = options.and_then(|options| options["defaults"].as_bool());
        let lenses = options.and_then(|options| options["lenses"].as_bool());
        let length = options.and_then(|options| options["hintLength"].as_u64());
        let executes = |command: &str| {
            let all = options.and_then(|options| options["commands"].as_array());
            all.is_some_and(|all| all.iter().any(|one| one == command))
        };
        let code_lens = workspace.and_then(|workspace| workspace.code_lens.as_ref());
        Self {
            snippets: item.and_then(|item| item.snippet_support).unwrap_or(false),
            refreshes_hints: hints.and_then(|hints| hints.refresh_support).unwrap_or(false),
            defaults: defaults.unwrap_or(true),
            refreshes_lenses: code_lens.and_then(|lens| lens.refresh_support).unwrap_or(false),
            lenses: lenses.unwrap_or(true),
            hint_length: length.map_or(HINT_LENGTH, |length| length as usize),
            executes: COMMANDS.map(executes),
            encoding: if utf8 { Encoding::Utf8 } else { Encoding::Utf16 },
            watches_files: watching.and_then(|watching| watching.dynamic_registration).unwrap_or(false),
        }
    }
}

/// The answer to `initialize`.
pub(super) fn offered(client: Client) -> InitializeResult {
    let sync = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::Incremental),
        save: Some(Save::SaveOptions(SaveOptions { include_text: Some(false) })),
        ..TextDocumentSyncOptions::default()
    };
    // Clients register these as their own, which fails for one that they already have.
    let theirs = COMMANDS.into_iter().zip(client.executes);
    let commands: Vec<String> = theirs.filter(|(_, executes)| !executes).map(|(name, _)| name.to_owned()).collect();
    let capabilities = ServerCapabilities {
        position_encoding: Some(client.encoding.kind()),
        text_document_sync: Some(TextDocumentSync::Options(sync)),
        document_symbol_provider: Some(DocumentSymbolProvider::Bool(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([" ", ".", "$", "=", "\"", ":", "/"].map(str::to_owned).into()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProvider::Bool(true)),
        definition_provider: Some(DefinitionProvider::Bool(true)),
        references_provider: Some(ReferencesProvider::Bool(true)),
        document_highlight_provider: Some(DocumentHighlightProvider::Bool(true)),
        rename_provider: Some(RenameProvider::RenameOptions(RenameOptions {
            prepare_provider: Some(true),
            ..RenameOptions::default()
        })),
        inlay_hint_provider: Some(InlayHintProvider::Bool(true)),
        code_action_provider: Some(CodeActionProvider::CodeActionOptions(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QuickFix]),
            ..CodeActionOptions::default()
        })),
        document_formatting_provider: Some(DocumentFormattingProvider::Bool(true)),
        semantic_tokens_provider: Some(SemanticTokensProvider::SemanticTokensOptions(SemanticTokensOptions {
            legend: legend(),
            range: Some(SemanticTokensOptionsRange::Bool(true)),
            full: Some(Full::Bool(true)),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        })),
        code_lens_provider: Some(CodeLensOptions { resolve_provider: Some(false), ..CodeLensOptions::default() }),
        workspace_symbol_provider: Some(WorkspaceSymbolProvider::Bool(true)),
        execute_command_provider: (!commands.is_empty())
            .then(|| ExecuteCommandOptions { commands, ..ExecuteCommandOptions::default() }),
        ..ServerCapabilities::default()
    };
    let server_info =
        Some(ServerInfo { name: "macula".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) });
    InitializeResult { capabilities, server_info }
}
