"""Names that NEURON 8.2.7 and 9.0.2 have of their own, as `dir(h)` and `h.MechanismType` list them."""

_MECHANISMS = """
    APCount AlphaSynapse Exp2Syn ExpSyn IClamp IntFire1 IntFire2 IntFire4 NetStim OClamp PatternStim PointProcessMark
    SEClamp VClamp capacitance extracellular fastpas feature hh k_ion morphology na_ion pas
    """
_OTHERS = """
    Avogadro_constant BBSaveState CVode DEG Deck E FARADAY FInitializeHandler File GAMMA GUIMath Glyph Graph HBox
    Impedance KSChan KSGate KSState KSTrans L LinearMechanism List Matrix MechanismStandard MechanismType NMODLRandom
    NetCon PHI PI PPShape PWManager ParallelContext PlotShape Pointer PtrVector PythonObject R Ra Random RangeVarPlot
    SaveState Section SectionBrowser SectionList SectionRef Shape SingleChan StateTransitionEvent StringFunctions
    SymChooser TQueue TextEditor Timer VBox ValueFieldEditor Vector _pysec abs access allobjects allobjectvars allsec
    arc3d area argtype atan atan2 attr_praxis axis baseattr batch_run batch_save begintemplate boolean_dialog break cas
    celsius chdir checkpoint clamp_resist cm connect continue continue_dialog coredump_on_error coreneuron_handle cos
    create debug default_dll_loaded_ define_shape delete delete_section depvar diam diam3d diam_changed dik_dv_ dina_dv_
    disconnect distance doEvents doNotify double dt e_extracellular e_fastpas e_pas ek el_hh else ena endtemplate
    eps_IntFire4 eqinit eqn erf erfc execerror execute execute1 exp external fadvance fclamp fclampi fclampv fcurrent
    finitialize fit_praxis float_epsilon fmatrix fmenu for forall forsec fprint frecord_init fscan fstim fstimi fsyn
    fsyng fsyni func g_fastpas g_pas getSpineArea getcwd getstr ghk gk_hh gkbar_hh gl_hh gna_hh gnabar_hh graph
    graphmode h_hh help hinf_hh hname hoc_cross_x_ hoc_cross_y_ hoc_pointer_ hoc_stdout hocobjptr htau_hh i_cap
    i_membrane i_membrane_ i_pas ib_IntFire4 if ifsec ik il_hh ina initnrn insert install_vector_fitness int ion_charge
    ion_register ion_style ismembrane issection iterator iterator_statement ivoc_style keep_nseg_parm ki ki0_k_ion ko
    ko0_k_ion libpython_path load_file load_func load_proc load_template local localobj log log10 lw m_hh machine_name
    make_mechanism make_pointprocess mcell_ran4 mcell_ran4_init minf_hh mtau_hh n3d n_hh nai nai0_na_ion name_declared
    nao nao0_na_ion nernst neuronhome new ninf_hh nlayer_extracellular node_data nrn_feenableexcept nrn_get_config_key
    nrn_get_config_val nrn_load_dll nrn_mallinfo nrn_netrec_state_adjust nrn_num_config_keys nrn_shape_changed_
    nrn_sparse_partrans nrnallpointmenu nrnallsectionmenu nrnglobalmechmenu nrniv_bind_thread nrnmechmenu nrnmpi_init
    nrnpointmenu nrnpython nrnsecmenu nrnunit_use_legacy nrnversion nseg ntau_hh numarg obfunc object_id object_pop
    object_push object_pushed objectvar objref parallel parent_connection parent_node parent_section plot plotx ploty
    plt pop_section print print_local_memory_usage print_session printf prmat proc prstim psection pt3dadd pt3dchange
    pt3dclear pt3dconst pt3dinsert pt3dremove pt3dstyle public push_section pval_praxis pwman_place quit rallbranch
    rates_hh read ref regraph retrieveaudit return ri ropen same sav_g sav_rhs save_session saveaudit secname
    secondorder section_exists section_orientation section_owner sectionname setSpineArea setcolor setdata_feature
    setdata_hh setdata_pas setpointer show_errmess_always show_winio sin solve spine3d sprint sqrt sred sscanf startsw
    stop stop_praxis stoprun stopsw strcmp strdef string_dialog symbols system t tanh taueps_IntFire4 this_node
    this_section topology uninsert units unix_mac_pc use_exp_pow_precision use_mcell_ran4 usetable_hh v variable_domain
    vext vtrap_hh while wopen x3d xbutton xc xcheckbox xfixedvalue xg xlabel xmenu xopen xopen_broadcast_ xpanel xpvalue
    xradiobutton xraxial xred xslider xstatebutton xvalue xvarlabel y3d z3d
    """
# density mechanisms, point processes and ions
MECHANISMS = frozenset(_MECHANISMS.split())
# and what else a mechanism or a template cannot be called: keywords, functions, classes and variables
NAMES = MECHANISMS | frozenset(_OTHERS.split())
