# From datasets to an ensemble's predictions.


rule train_fold:
    input:
        dataset=lambda w: given(f"results/{w.study}/{w.scale}/dataset/{study_of(w).training_dataset(w.estimator)}.h5"),
    output:
        model="results/{study}/{scale}/{estimator}/fold-{fold}/model.keras",
        history="results/{study}/{scale}/{estimator}/fold-{fold}/history.csv",
    log:
        "results/{study}/{scale}/logs/train_fold/{estimator}-{fold}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/train_fold/{estimator}-{fold}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=growing(lambda w: 1500 + 2.5 * signals_mb(w)),
        runtime=720,
    params:
        spec=lambda w: canonical(study_of(w).train_spec(w.estimator, int(w.fold))),
        memory_mb=SIGNALS_MB,
    shell:
        "neuroinverse train_fold --spec {params.spec:q} --dataset {input.dataset} --output {output.model}"
        " --history {output.history} --threads {threads} --memory-mb {params.memory_mb} &> {log}"


rule ensemble_folds:
    input:
        dataset=given("results/{study}/{scale}/dataset/test.h5"),
        models=lambda w: given(
            [
                f"results/{w.study}/{w.scale}/{w.estimator}/fold-{fold}/model.keras"
                for fold in study_of(w).folds(w.estimator)
            ]
        ),
    output:
        "results/{study}/{scale}/{estimator}/predictions.parquet",
    log:
        "results/{study}/{scale}/logs/ensemble_folds/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/ensemble_folds/{estimator}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=growing(2500),
        runtime=60,
    params:
        spec=lambda w: canonical(study_of(w).ensemble_spec(w.estimator)),
    shell:
        "neuroinverse ensemble_folds --spec {params.spec:q} --dataset {input.dataset} --models {input.models}"
        " --output {output} &> {log}"
