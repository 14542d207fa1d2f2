"""What an estimate of a prompt is made of: texts, messages, pictures, tools, experience."""
