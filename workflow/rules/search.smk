# From a space of networks to the best of them.


rule train_trial:
    input:
        dataset=lambda w: given(rules.train_trial, w, trial_dataset(w)),
        ranking=lambda w: given(rules.train_trial, w, design_files(w)),
    output:
        result="results/{study}/{scale}/{estimator}/search/{trial}/result.json",
        history="results/{study}/{scale}/{estimator}/search/{trial}/history.csv",
    log:
        "results/{study}/{scale}/logs/train_trial/{estimator}-{trial}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/train_trial/{estimator}-{trial}.tsv"
    conda:
        "../../envs/compiler.yaml"
    # trials side by side use the cores better
    threads: 1
    resources:
        mem_mb=growing(trial_mb),
        runtime=lambda w, threads: search.member_minutes(study_of(w), w.estimator, w.trial, threads),
        # as of train_fold
        gpu=0,
    params:
        spec=lambda w: canonical(search.member_spec(study_of(w), w.estimator, w.trial)),
        ranking=lambda w, input: f"--ranking {input.ranking}" if input.ranking else "",
        memory_mb=SIGNALS_MB,
    shell:
        "neuroinverse train_trial --spec {params.spec:q} --dataset {input.dataset} {params.ranking}"
        " --output {output.result} --history {output.history} --threads {threads} --gpus {resources.gpu}"
        " --memory-mb {params.memory_mb} &> {log}"


rule rank_trials:
    input:
        trials=lambda w: given(rules.rank_trials, w, members_files(w)),
        ranking=lambda w: given(rules.rank_trials, w, ranking_file(w)) if w.tier == "finalists" else [],
    output:
        rows="results/{study}/{scale}/{estimator}/search/{tier}.json",
        table="results/{study}/{scale}/{estimator}/search/{tier}.csv",
        page="results/{study}/{scale}/{estimator}/search/{tier}.html",
        figure=report(
            "results/{study}/{scale}/{estimator}/search/{tier}.png",
            caption="../report/search.rst",
            category="{study}",
            subcategory="{scale}, {estimator}, search",
            labels={"figure": "{tier}"},
        ),
    log:
        "results/{study}/{scale}/logs/rank_trials/{estimator}-{tier}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/rank_trials/{estimator}-{tier}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=10,
    params:
        spec=lambda w: canonical(search.tier_spec(study_of(w), w.estimator, w.tier)),
        folder=lambda w: search_folder(w),
        ranking=lambda w, input: f"--ranking {input.ranking}" if input.ranking else "",
    shell:
        "neuroinverse rank_trials --spec {params.spec:q} --folder {params.folder} {params.ranking}"
        " --output {output.rows} --table {output.table} --page {output.page} --figure {output.figure} &> {log}"


rule stability:
    input:
        results=lambda w: given(rules.stability, w, repeats_files(w, "result.json")),
        histories=lambda w: given(rules.stability, w, repeats_files(w, "history.csv")),
    output:
        rows="results/{study}/{scale}/{estimator}/search/stability.json",
        table="results/{study}/{scale}/{estimator}/search/stability.csv",
        page="results/{study}/{scale}/{estimator}/search/stability.html",
        network="results/{study}/{scale}/{estimator}/search/golden.yaml",
        figure=report(
            "results/{study}/{scale}/{estimator}/search/stability.png",
            caption="../report/stability.rst",
            category="{study}",
            subcategory="{scale}, {estimator}, search",
            labels={"figure": "stability"},
        ),
    log:
        "results/{study}/{scale}/logs/stability/{estimator}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/stability/{estimator}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=10,
    params:
        spec=lambda w: canonical(search.stability_spec(study_of(w), w.estimator)),
        folder=lambda w: search_folder(w),
    shell:
        "neuroinverse stability --spec {params.spec:q} --folder {params.folder} --output {output.rows}"
        " --table {output.table} --page {output.page} --figure {output.figure} --network {output.network} &> {log}"
