"""What a learner answers to: exercises, checks, the quiz, predictions, claims and the leaderboard."""
