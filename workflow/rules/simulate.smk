# From the prior to joined datasets.


MECHANISMS = "results/mechanisms/libnrnmech.so"


rule simulations:
    input:
        [
            file
            for study, scale in CONFIGURED
            for dataset in ("train", "test")
            for file in shard_files(load(study, scale), dataset)
        ],


rule compile_mechanisms:
    output:
        MECHANISMS,
    log:
        "results/logs/compile_mechanisms.log",
    benchmark:
        "results/benchmarks/compile_mechanisms.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=5,
    params:
        spec=canonical(mechanisms_spec()),
    shell:
        "neuroinverse compile_mechanisms --output {output} &> {log}"


rule simulate_shard:
    input:
        library=lambda w: given(MECHANISMS) if study_of(w).needs_mechanisms else [],
    output:
        "results/{study}/{scale}/shards/{dataset}/{shard}.h5",
    log:
        "results/{study}/{scale}/logs/simulate_shard/{dataset}-{shard}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/simulate_shard/{dataset}-{shard}.tsv"
    conda:
        ENVIRONMENT
    threads: 2
    resources:
        mem_mb=growing(lambda w: 500 + study_of(w).shard_megabytes),
        runtime=60,
    params:
        spec=lambda w: canonical(study_of(w).shard_spec(w.dataset, w.shard)),
        library=lambda w, input: f"--library {input.library}" if input.library else "",
    shell:
        "neuroinverse simulate_shard --spec {params.spec:q} --output {output} --threads {threads} {params.library} &> {log}"


rule index_dataset:
    input:
        lambda w: given(shard_files(study_of(w), w.dataset)),
    output:
        "results/{study}/{scale}/dataset/{dataset}.h5",
    log:
        "results/{study}/{scale}/logs/index_dataset/{dataset}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/index_dataset/{dataset}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=60,
    params:
        spec=lambda w: canonical(study_of(w).dataset_spec(w.dataset)),
        shards=lambda w: f"results/{w.study}/{w.scale}/shards/{w.dataset.partition('@')[0]}",
    shell:
        "neuroinverse index_dataset --spec {params.spec:q} --shards {params.shards} --output {output} &> {log}"
