# Connectivity of a column: searched through surrogates, and put to the simulator.


rule optimise:
    input:
        lambda w: given(rules.optimise, w, column.surrogate_files(study_of(w), w.objective)),
    output:
        search="results/{study}/{scale}/objectives/{objective}/search.json",
        found="results/{study}/{scale}/objectives/{objective}/found.h5",
    log:
        "results/{study}/{scale}/logs/optimise/{objective}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/optimise/{objective}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(6000),
        runtime=240,
    params:
        spec=lambda w: canonical(column.search_spec(study_of(w), w.objective)),
    shell:
        "neuroinverse optimise --spec {params.spec:q} --surrogates {input} --output {output.search}"
        " --found {output.found} --threads {threads} &> {log}"


rule check_objective:
    input:
        surrogates=lambda w: given(rules.check_objective, w, column.surrogate_files(study_of(w), w.objective)),
        search=lambda w: given(rules.check_objective, w, f"{objective_folder(w)}/search.json"),
        start=lambda w: given(rules.check_objective, w, dataset_file(w, column.START)),
        found=lambda w: given(rules.check_objective, w, dataset_file(w, w.objective)),
    output:
        metrics="results/{study}/{scale}/objectives/{objective}/metrics.json",
        network="results/{study}/{scale}/objectives/{objective}/network.json",
        figures=[figure(name, "objectives/{objective}") for name in OBJECTIVE_FIGURES],
    log:
        "results/{study}/{scale}/logs/check_objective/{objective}.log",
    benchmark:
        "results/{study}/{scale}/benchmarks/check_objective/{objective}.tsv"
    conda:
        "../../envs/compiler.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        spec=lambda w: canonical(column.check_spec(study_of(w), w.objective)),
        figures="results/{study}/{scale}/objectives/{objective}/figures",
    shell:
        "neuroinverse check_objective --spec {params.spec:q} --surrogates {input.surrogates} --search {input.search}"
        " --start-dataset {input.start} --found-dataset {input.found} --metrics {output.metrics}"
        " --network {output.network} --figures {params.figures} &> {log}"
