"""MAML on sinusoids, from tasks to scores. If this script is stopped and started again, training is resumed."""

import metarl as ml

tasks = ml.tasks.Sinusoid(shots=5)
learner = ml.MAML(ml.nets.MLP(1, 1), ml.losses.mse, steps=1, lr=0.01)
outer = ml.Descent(learner, lr=1e-3)
run = ml.fit(outer, tasks, iterations=5000, meta_batch=25, out="runs/sine")
scores = ml.evaluate(run.learner, tasks, steps=10, num_tasks=600)
print(scores.mean(axis=1))  # mean squared error after 0 … 10 gradient steps
