"""Which samples are worth a step: choosing within superbatches.

`saln`, `selectors` and `jest` choose, by `graphs` of `similarity` and by
`ranking`; a `selection` is what they return. `members` makes samples
comparable, `superbatches` has a curator choose while an epoch is read,
`losses` where the model is, `preprocessing` beforehand, into a `manifest`.
`contrast`, `histogram` and `figure` show what was kept and what was not.
"""
