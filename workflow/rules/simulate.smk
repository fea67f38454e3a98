# From the prior to joined datasets.


rule simulations:
    input:
        [
            file
            for study, scale in CONFIGURED
            for dataset in load(study, scale).report_datasets
            if load(study, scale).is_drawn(dataset)
            for file in shard_files(load(study, scale), dataset)
        ],


rule compile_mechanisms:
    output:
        "results/{study}/{scale}/mechanisms/libnrnmech.so",
    log:
        "results/{study}/{scale}/logs/compile_mechanisms.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/compile_mechanisms.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=5,
    params:
        spec=lambda w: canonical(study_of(w).mechanisms_spec()),
        sources=lambda w: [str(f) for f in study_of(w).mechanisms],
    shell:
        "neuroinverse compile_mechanisms --spec {params.spec:q} --sources {params.sources:q} --output {output} &> {log}"


rule compute_kernel:
    output:
        "results/{study}/{scale}/kernel.h5",
    log:
        "results/{study}/{scale}/logs/compute_kernel.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/compute_kernel.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=60,
    params:
        spec=lambda w: canonical(study_of(w).kernel_spec()),
    shell:
        "neuroinverse compute_kernel --spec {params.spec:q} --output {output} &> {log}"


rule check_simulator:
    input:
        library=lambda w: given(rules.check_simulator, w, library_file(w)) if study_of(w).mechanisms else [],
        kernel=lambda w: given(rules.check_simulator, w, kernel_file(w)) if study_of(w).needs_kernel else [],
    output:
        "results/{study}/{scale}/simulator.json",
    log:
        "results/{study}/{scale}/logs/check_simulator.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/check_simulator.tsv"
    # all shards wait for it
    priority: 2
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(lambda w, threads: 500 + study_of(w).simulator.worker_mb * 2),
        runtime=lambda w, attempt: guard_minutes(study_of(w), attempt),
    params:
        spec=lambda w: canonical(study_of(w).guard_spec()),
        library=lambda w, input: f"--library {input.library}" if input.library else "",
        kernel=lambda w, input: f"--kernel {input.kernel}" if input.kernel else "",
    shell:
        "neuroinverse check_simulator --spec {params.spec:q} --output {output} --threads {threads} {params.library}"
        " {params.kernel} &> {log}"


rule simulate_shard:
    input:
        guard=guard_file,
        library=lambda w: given(rules.simulate_shard, w, library_file(w)) if study_of(w).mechanisms else [],
        kernel=lambda w: given(rules.simulate_shard, w, kernel_file(w)) if study_of(w).needs_kernel else [],
        proposal=lambda w: given(rules.simulate_shard, w, proposal_files(w)),
    output:
        "results/{study}/{scale}/shards/{dataset}/{shard}.h5",
    log:
        "results/{study}/{scale}/logs/simulate_shard/{dataset}-{shard}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/simulate_shard/{dataset}-{shard}.tsv"
    # a training that begins first would hold one of two cores, and a simulation waits for both
    priority: 1
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        # an engine in every worker
        mem_mb=growing(lambda w, threads: 500 + study_of(w).simulator.worker_mb * threads),
        runtime=lambda w, threads, attempt: simulate_minutes(study_of(w), threads, attempt),
    params:
        spec=lambda w: canonical(study_of(w).shard_spec(w.dataset, w.shard)),
        library=lambda w, input: f"--library {input.library}" if input.library else "",
        kernel=lambda w, input: f"--kernel {input.kernel}" if input.kernel else "",
        proposal=lambda w, input: f"--proposal {input.proposal}" if input.proposal else "",
    shell:
        "neuroinverse simulate_shard --spec {params.spec:q} --output {output} --threads {threads} {params.library}"
        " {params.kernel} {params.proposal} &> {log}"


rule index_dataset:
    input:
        lambda w: given(rules.index_dataset, w, shard_files(study_of(w), w.dataset)),
    output:
        "results/{study}/{scale}/dataset/{dataset}.h5",
    log:
        "results/{study}/{scale}/logs/index_dataset/{dataset}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/index_dataset/{dataset}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 1
    resources:
        mem_mb=growing(500),
        runtime=lambda w, attempt: join_minutes(study_of(w), w.dataset, attempt),
    params:
        spec=lambda w: canonical(study_of(w).dataset_spec(w.dataset)),
        shards=lambda w: f"results/{w.study}/{w.scale}/shards/{w.dataset.partition('@')[0]}",
    shell:
        "neuroinverse index_dataset --spec {params.spec:q} --shards {params.shards} --output {output} &> {log}"
