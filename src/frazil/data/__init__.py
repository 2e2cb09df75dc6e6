"""Training straight from compressed stores: chunks in, shuffled and curated batches out.

A store is opened by `StoreReader`, seen as `Samples` by a `SamplePlan`, put in
order by `ChunkShuffle`, decoded into a `ChunkPool` and handed out by
`ZarrBatches` (numpy) or `frazil.make_loader` (PyTorch). Each of them is of use
alone; only `frazil.data.dataset` needs torch.
"""
