"""ANIL with TRPO on half-cheetah goal velocities, and evaluation of the adapted policy by Stable-Baselines3."""

import gymnasium
from stable_baselines3.common.evaluation import evaluate_policy

import metarl as ml

tasks = ml.tasks.Environment("metarl/HalfCheetahVel-v0", trajectories=10, horizon=100, action_scale=0.3)
policy = ml.nets.GaussianPolicy(17, 6, hidden=(64, 64), activation="tanh")  # 17 observations, 6 actions
outer = ml.TRPO(ml.ANIL(policy, ml.losses.surrogate, lr=0.1), max_kl=0.05, chunk=4)
run = ml.fit(outer, tasks, iterations=50, meta_batch=20, out="runs/half-cheetah")

goal = 1.5  # m/s
adapted = ml.adapt_policy(run.learner, tasks, goal, steps=1)
env = gymnasium.make("metarl/HalfCheetahVel-v0", task=[goal], max_episode_steps=100)
print(evaluate_policy(adapted, env, n_eval_episodes=5))  # mean and standard deviation of the return
