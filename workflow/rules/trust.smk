# Whether a model can be believed.


rule cross:
    input:
        datasets=lambda w: given(rules.cross, w, cross_files(w)),
        models=lambda w: given(rules.cross, w, fold_files(w, "model.keras")),
        calibration=lambda w: given(rules.cross, w, f"{estimator_folder(w)}/calibration.json"),
    output:
        table="results/{study}/{scale}/{estimator}/cross.json",
        page="results/{study}/{scale}/{estimator}/cross.html",
        figures=[figure(name, within="cross") for name in ("roc", "distributions", "correlations", "pairs")],
    log:
        "results/{study}/{scale}/logs/cross/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/cross/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(2500),
        runtime=180,
    params:
        spec=lambda w: canonical(cross.cross_spec(study_of(w), w.estimator)),
        figures="results/{study}/{scale}/{estimator}/cross",
    shell:
        "neuroinverse cross --spec {params.spec:q} --datasets {input.datasets} --models {input.models}"
        " --calibration {input.calibration} --output {output.table} --page {output.page}"
        " --figures {params.figures} &> {log}"
