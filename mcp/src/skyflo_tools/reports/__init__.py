"""Report what several objects together say: pods, relations, conditions, rollouts."""
