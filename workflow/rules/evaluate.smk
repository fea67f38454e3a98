# From predictions to metrics, figures and reports.


FIGURES = [
    "examples",
    "predicted_true",
    "residuals",
    "residual_correlation",
    "error_map",
    "learning_curves",
    "coverage",
]


rule evaluate:
    input:
        predictions=lambda w: given(rules.evaluate, w, f"{estimator_folder(w)}/predictions.parquet"),
        train=lambda w: given(rules.evaluate, w, training_file(w)),
        test=lambda w: given(rules.evaluate, w, dataset_file(w, "test")),
        models=lambda w: given(rules.evaluate, w, fold_files(w, "model.keras")),
        histories=lambda w: given(rules.evaluate, w, fold_files(w, "history.csv")),
    output:
        metrics="results/{study}/{scale}/{estimator}/metrics.json",
        figures=[figure(name) for name in FIGURES],
    log:
        "results/{study}/{scale}/logs/evaluate/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/evaluate/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=30,
    params:
        spec=lambda w: canonical(study_of(w).evaluate_spec(w.estimator)),
        figures="results/{study}/{scale}/{estimator}/figures",
    shell:
        "neuroinverse evaluate --spec {params.spec:q} --predictions {input.predictions} --train-dataset {input.train}"
        " --test-dataset {input.test} --models {input.models} --histories {input.histories}"
        " --metrics {output.metrics} --figures {params.figures} &> {log}"


rule scaling:
    input:
        lambda w: given(
            rules.scaling,
            w,
            [
                f"results/{w.study}/{w.scale}/{estimator}/metrics.json"
                for estimator in study_of(w).scaled(w.estimator).values()
            ],
        ),
    output:
        "results/{study}/{scale}/{estimator}/scaling.json",
    log:
        "results/{study}/{scale}/logs/scaling/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/scaling/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=5,
    params:
        spec=lambda w: canonical(study_of(w).scaling_spec(w.estimator)),
    shell:
        "neuroinverse scaling --spec {params.spec:q} --metrics {input} --output {output} &> {log}"


rule report:
    input:
        metrics=lambda w: given(rules.report, w, metrics_files(study_of(w))),
        datasets=lambda w: given(rules.report, w, [dataset_file(w, name) for name in DATASETS]),
    output:
        "results/{study}/{scale}/report.html",
    log:
        "results/{study}/{scale}/logs/report.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/report.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=10,
    params:
        spec=lambda w: canonical(study_of(w).report_spec()),
        figures=lambda w, input: [str(Path(m).parent / "figures") for m in input.metrics],
    shell:
        "neuroinverse report --spec {params.spec:q} --metrics {input.metrics} --figures {params.figures}"
        " --datasets {input.datasets} --output {output} &> {log}"


rule report_index:
    input:
        metrics=lambda w: given(rules.report_index, w, CONFIGURED_METRICS),
        reports=lambda w: given(rules.report_index, w, CONFIGURED_REPORTS),
    output:
        "results/index.html",
    log:
        "results/logs/report_index.log",
    benchmark:
        "results/benchmarks/report_index.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=5,
    params:
        spec=canonical(
            {
                "version": VERSIONS["report_index"],
                "reports": [load(*item).report_spec() for item in CONFIGURED],
            }
        ),
    shell:
        "neuroinverse report_index --metrics {input.metrics} --reports {input.reports} --output {output} &> {log}"
