# Networks that do what a simulator does.


rule train_surrogate:
    input:
        train=lambda w: given(rules.train_surrogate, w, surrogate_training_files(w)),
        calibration=lambda w: given(rules.train_surrogate, w, surrogate_file(w, surrogates.calibration_dataset)),
        base=lambda w: given(rules.train_surrogate, w, surrogate_base_files(w)),
    output:
        model="results/{study}/{scale}/surrogates/{surrogate}/model.keras",
        history="results/{study}/{scale}/surrogates/{surrogate}/history.csv",
    log:
        "results/{study}/{scale}/logs/train_surrogate/{surrogate}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/train_surrogate/{surrogate}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(surrogate_mb),
        runtime=lambda w, threads: surrogate_minutes(study_of(w), w.surrogate, threads),
        gpu=0,
    params:
        spec=lambda w: canonical(surrogates.train_spec(study_of(w), w.surrogate)),
        base=lambda w, input: f"--base {input.base}" if input.base else "",
        memory_mb=SIGNALS_MB,
    shell:
        "neuroinverse train_surrogate --spec {params.spec:q} --datasets {input.train}"
        " --calibration-dataset {input.calibration} {params.base} --output {output.model} --history {output.history}"
        " --threads {threads} --gpus {resources.gpu} --memory-mb {params.memory_mb} &> {log}"


rule check_surrogate:
    input:
        model=lambda w: given(rules.check_surrogate, w, f"{surrogate_folder(w)}/model.keras"),
        history=lambda w: given(rules.check_surrogate, w, f"{surrogate_folder(w)}/history.csv"),
        test=lambda w: given(rules.check_surrogate, w, surrogate_file(w, surrogates.test_dataset)),
    output:
        metrics="results/{study}/{scale}/surrogates/{surrogate}/metrics.json",
        figures=[figure(name, "surrogates/{surrogate}") for name in (*SURROGATE_FIGURES, "learning_curves")],
    log:
        "results/{study}/{scale}/logs/check_surrogate/{surrogate}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/check_surrogate/{surrogate}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(2500),
        runtime=30,
    params:
        spec=lambda w: canonical(surrogates.check_spec(study_of(w), w.surrogate)),
        figures="results/{study}/{scale}/surrogates/{surrogate}/figures",
    shell:
        "neuroinverse check_surrogate --spec {params.spec:q} --model {input.model} --history {input.history}"
        " --test-dataset {input.test} --metrics {output.metrics} --figures {params.figures} &> {log}"
