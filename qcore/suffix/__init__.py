"""Suffix prediction: from a running case's first events, the activities until its end.

    logs        CSV and XES files → `EventLog`
    process     a simulated process, and the best that any predictor can reach on it
    folds       which cases train, validate and test
    encoding    `EventLog` → integers and standardised time features
    cells       recurrent layers: one fast path, one with every matrix explicit
    model       encoder, additive attention, decoder
    matrices    the network's weights as named matrices, and their inputs' second moments
    batches     cases of similar length together, a row per prefix
    train       whole suffixes, early stopping, checkpoint and resume
    decode      argmax, samples, minimum expected distance
    beam        beam search with a pool of finished suffixes
    metrics     similarity, exact share, by prefix length, intervals
    baselines   longest matching prefix; first-order Markov

The network is the encoder–decoder of arXiv 2211.16106; docs/suffix.md says what differs and why.
"""
