; extends
; Highlights of macula's pipelines, in addition to those of tree-sitter-kdl 2.0 (KDL 2).

; Words of the language.
((node name: (identifier) @keyword)
  (#any-of? @keyword
    "pipeline" "stage" "network" "sweep" "use" "doc" "param" "extends" "without" "repeat" "in" "out" "body"
    "example" "counter-example" "case" "block" "input" "tap" "branch" "auxiliary" "over" "zip" "skip" "rank"))

; Stage types of the standard library. A parameter of the same name, such as `train` of `split`, has their colour too.
((node name: (identifier) @type)
  (#any-of? @type
    "annotations" "augment" "average" "balanced-patches" "calibrate" "combine" "cross-encode"
    "cross-validation" "ddr" "e-ophtha" "encode" "encode-fold" "eval" "exec" "export" "extract" "fgadr"
    "files" "filter-black" "filter-white" "folder" "froc" "heat-map" "idrid" "import-model" "import-patches" "join" "lesions" "manifest"
    "near-duplicates" "one-fold" "pool" "predict" "preprocess" "pretrain" "program" "rebalance" "relabel"
    "report" "report-training" "slice" "split" "spread" "suspects" "synthetic" "threshold-tune" "train"
    "weights"))

; The type of a parameter or a port.
((prop key: (identifier) @property value: (value (string) @type.builtin))
  (#any-of? @property "type" "of"))

; Parameters of a pipeline or a template.
((string) @variable.parameter (#match? @variable.parameter "^[$]"))
