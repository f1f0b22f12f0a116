"""Reinforcement learning: rollouts, advantages, policy-gradient losses and adapted policies."""
