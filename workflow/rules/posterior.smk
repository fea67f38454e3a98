# Posteriors: rounds at an observation, and whether they can be believed.


rule propose:
    input:
        models=lambda w: given(rules.propose, w, proposer_files(w)),
        observation=lambda w: given(rules.propose, w, observation_path(w, proposer(w))),
    output:
        "results/{study}/{scale}/proposals/{dataset}.h5",
    log:
        "results/{study}/{scale}/logs/propose/{dataset}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/propose/{dataset}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(2500),
        runtime=60,
    params:
        spec=lambda w: canonical(rounds.proposal_spec(study_of(w), w.dataset)),
    shell:
        "neuroinverse propose --spec {params.spec:q} --models {input.models} --observation {input.observation:q}"
        " --output {output} &> {log}"


rule check_posterior:
    input:
        models=lambda w: given(rules.check_posterior, w, fold_files(w, "model.keras")),
        histories=lambda w: given(rules.check_posterior, w, fold_files(w, "history.csv")),
        train=lambda w: given(rules.check_posterior, w, training_files(w)),
        test=lambda w: given(rules.check_posterior, w, dataset_file(w, study_of(w).test_dataset(w.estimator))),
        predictive=lambda w: given(rules.check_posterior, w, dataset_file(w, rounds.predictive(w.estimator))),
        observation=lambda w: given(rules.check_posterior, w, observation_path(w, w.estimator)),
    output:
        metrics="results/{study}/{scale}/{estimator}/metrics.json",
        samples="results/{study}/{scale}/{estimator}/samples.parquet",
        figures=[figure(name) for name in (*POSTERIOR_FIGURES, "learning_curves")],
    log:
        "results/{study}/{scale}/logs/check_posterior/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/check_posterior/{estimator}.tsv"
    wildcard_constraints:
        estimator=r"posterior[a-z0-9_]*",
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(3500),
        runtime=120,
    params:
        spec=lambda w: canonical(rounds.check_spec(study_of(w), w.estimator)),
        figures="results/{study}/{scale}/{estimator}/figures",
    shell:
        "neuroinverse check_posterior --spec {params.spec:q} --models {input.models} --histories {input.histories}"
        " --train-datasets {input.train} --test-dataset {input.test} --predictive-dataset {input.predictive}"
        " --observation {input.observation:q} --samples {output.samples} --metrics {output.metrics}"
        " --figures {params.figures} &> {log}"
