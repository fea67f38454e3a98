# From the prior to joined datasets.


MECHANISMS = "results/mechanisms/libnrnmech.so"


def shard_files(study, dataset):
    name = dataset.partition("@")[0]
    return [
        f"results/{study.name}/{study.scale}/shards/{name}/{shard}.h5"
        for shard in study.shards(dataset)
    ]


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
    params:
        spec=canonical(mechanisms_spec()),
    log:
        "results/logs/compile_mechanisms.log",
    benchmark:
        "results/benchmarks/compile_mechanisms.tsv"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=5,
    shell:
        "{CLI} compile_mechanisms --output {output} &> {log}"


rule simulate_shard:
    input:
        library=lambda w: given(MECHANISMS) if study_of(w).needs_mechanisms else [],
    output:
        "results/{study}/{scale}/shards/{dataset}/{shard}.h5",
    params:
        spec=lambda w: canonical(study_of(w).shard_spec(w.dataset, w.shard)),
        library=lambda w, input: f"--library {input.library}" if input.library else "",
    log:
        "results/{study}/{scale}/logs/simulate_shard/{dataset}-{shard}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/simulate_shard/{dataset}-{shard}.tsv"
    threads: 2
    resources:
        mem_mb=growing(lambda w: 500 + study_of(w).shard_megabytes),
        runtime=60,
    shell:
        "{CLI} simulate_shard --spec {params.spec:q} --output {output} --threads {threads} {params.library} &> {log}"


rule index_dataset:
    input:
        lambda w: given(shard_files(study_of(w), w.dataset)),
    output:
        "results/{study}/{scale}/dataset/{dataset}.h5",
    params:
        spec=lambda w: canonical(study_of(w).dataset_spec(w.dataset)),
        shards=lambda w: f"results/{w.study}/{w.scale}/shards/{w.dataset.partition('@')[0]}",
    log:
        "results/{study}/{scale}/logs/index_dataset/{dataset}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/index_dataset/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=60,
    shell:
        "{CLI} index_dataset --spec {params.spec:q} --shards {params.shards} --output {output} &> {log}"
