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
        calibration=lambda w: given(rules.evaluate, w, f"{estimator_folder(w)}/calibration.json"),
    output:
        metrics="results/{study}/{scale}/{estimator}/metrics.json",
        figures=[figure(name) for name in FIGURES],
    log:
        "results/{study}/{scale}/logs/evaluate/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/evaluate/{estimator}.tsv"
    # the metrics of a posterior are those of check_posterior
    wildcard_constraints:
        estimator=f"(?!posterior){ESTIMATOR_PATTERN.pattern}",
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
        " --calibration {input.calibration}"
        " --metrics {output.metrics} --figures {params.figures} &> {log}"


rule scaling:
    input:
        metrics=lambda w: given(rules.scaling, w, scaled_files(w, "metrics.json")),
        predictions=lambda w: given(rules.scaling, w, scaled_files(w, "predictions.parquet")),
    output:
        table="results/{study}/{scale}/{estimator}/scaling.json",
        page="results/{study}/{scale}/{estimator}/scaling.html",
        figure=report(
            "results/{study}/{scale}/{estimator}/scaling.png",
            caption="../report/scaling.rst",
            category="{study}",
            subcategory="{scale}, {estimator}",
            labels={"figure": "scaling"},
        ),
    log:
        "results/{study}/{scale}/logs/scaling/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/scaling/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=5,
    params:
        spec=lambda w: canonical(scaling.scaling_spec(study_of(w), w.estimator)),
    shell:
        "neuroinverse scaling --spec {params.spec:q} --metrics {input.metrics} --predictions {input.predictions}"
        " --output {output.table} --page {output.page} --figure {output.figure} &> {log}"


rule transfer:
    input:
        datasets=lambda w: given(rules.transfer, w, dataset_files(w, study_of(w).transfer_datasets(w.estimator))),
        models=lambda w: given(rules.transfer, w, fold_files(w, "model.keras")),
        calibration=lambda w: given(rules.transfer, w, f"{estimator_folder(w)}/calibration.json"),
    output:
        table="results/{study}/{scale}/{estimator}/transfer.json",
        figure=figure("transfer"),
    log:
        "results/{study}/{scale}/logs/transfer/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/transfer/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(2500),
        runtime=60,
    params:
        spec=lambda w: canonical(study_of(w).transfer_spec(w.estimator)),
    shell:
        "neuroinverse transfer --spec {params.spec:q} --datasets {input.datasets} --models {input.models}"
        " --calibration {input.calibration} --output {output.table} --figure {output.figure} &> {log}"


rule network_states:
    input:
        examples=lambda w: given(rules.network_states, w, network_files(w)[0]),
        phase=lambda w: given(rules.network_states, w, network_files(w)[1]),
        test=lambda w: given(rules.network_states, w, dataset_file(w, "test")),
        predictions=lambda w: given(
            rules.network_states,
            w,
            [f"results/{w.study}/{w.scale}/{e}/predictions.parquet" for e in study_of(w).estimators],
        ),
    output:
        states="results/{study}/{scale}/network/states.json",
        figures=[figure(name, "network") for name in ("example_states", "phase_diagram", "errors_by_state")],
    log:
        "results/{study}/{scale}/logs/network_states.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/network_states.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(1500),
        runtime=30,
    params:
        spec=lambda w: canonical(study_of(w).network_spec()),
        figures="results/{study}/{scale}/network/figures",
    shell:
        "neuroinverse network_states --spec {params.spec:q} --examples {input.examples} --phase {input.phase}"
        " --test-dataset {input.test} --predictions {input.predictions} --output {output.states}"
        " --figures {params.figures} &> {log}"


rule report:
    input:
        metrics=lambda w: given(rules.report, w, metrics_files(study_of(w))),
        datasets=lambda w: given(rules.report, w, dataset_files(w, study_of(w).report_datasets)),
        transfers=lambda w: given(rules.report, w, transfer_files(study_of(w))),
        network=lambda w: given(rules.report, w, states_files(study_of(w))),
        surrogates=lambda w: given(rules.report, w, surrogates_files(study_of(w))),
        objectives=lambda w: given(rules.report, w, objectives_files(study_of(w))),
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
        metrics=lambda w, input: (
            f"--metrics {input.metrics} --figures {figure_folders(input.metrics)}" if input.metrics else ""
        ),
        transfers=lambda w, input: f"--transfers {input.transfers}" if input.transfers else "",
        network=lambda w, input: f"--network {input.network}" if input.network else "",
        surrogates=lambda w, input: f"--surrogates {input.surrogates}" if input.surrogates else "",
        objectives=lambda w, input: f"--objectives {input.objectives}" if input.objectives else "",
    shell:
        "neuroinverse report --spec {params.spec:q} --datasets {input.datasets} {params.metrics} {params.transfers}"
        " {params.network} {params.surrogates} {params.objectives} --output {output} &> {log}"


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
        # when Snakemake has its records
        spec=lambda w: canonical(
            {
                "version": VERSIONS["report_index"],
                "reports": [load(*item).report_spec() for item in CONFIGURED],
            }
        ),
    shell:
        "neuroinverse report_index --metrics {input.metrics} --reports {input.reports} --output {output} &> {log}"
