# From datasets to an ensemble's predictions.


rule train_fold:
    input:
        dataset=lambda w: given(rules.train_fold, w, training_files(w)),
    output:
        model="results/{study}/{scale}/{estimator}/fold-{fold}/model.keras",
        history="results/{study}/{scale}/{estimator}/fold-{fold}/history.csv",
    log:
        "results/{study}/{scale}/logs/train_fold/{estimator}-{fold}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/train_fold/{estimator}-{fold}.tsv"
    conda:
        "../../envs/compiler.yaml"
    # small networks gain little from a second thread: folds side by side use the cores better
    threads: 1
    resources:
        mem_mb=growing(train_mb),
        runtime=lambda w, threads: train_minutes(study_of(w), w.estimator, threads),
        # data-parallel when several; set it in a profile, or with --set-resources train_fold:gpu=1
        gpu=0,
    params:
        spec=lambda w: canonical(study_of(w).train_spec(w.estimator, int(w.fold))),
        memory_mb=SIGNALS_MB,
    shell:
        "neuroinverse train_fold --spec {params.spec:q} --dataset {input.dataset} --output {output.model}"
        " --history {output.history} --threads {threads} --gpus {resources.gpu} --memory-mb {params.memory_mb}"
        " &> {log}"


rule ensemble_folds:
    input:
        calibration=lambda w: given(rules.ensemble_folds, w, dataset_file(w, "calibration")),
        test=lambda w: given(rules.ensemble_folds, w, dataset_file(w, "test")),
        models=lambda w: given(rules.ensemble_folds, w, fold_files(w, "model.keras")),
    output:
        predictions="results/{study}/{scale}/{estimator}/predictions.parquet",
        calibration="results/{study}/{scale}/{estimator}/calibration.json",
    log:
        "results/{study}/{scale}/logs/ensemble_folds/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/ensemble_folds/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(2500),
        runtime=60,
    params:
        spec=lambda w: canonical(study_of(w).ensemble_spec(w.estimator)),
    shell:
        "neuroinverse ensemble_folds --spec {params.spec:q} --calibration-dataset {input.calibration}"
        " --test-dataset {input.test} --models {input.models} --calibration {output.calibration}"
        " --output {output.predictions} &> {log}"
