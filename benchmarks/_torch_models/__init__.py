"""Twenty real models of torchvision, timm and transformers, small and with random weights, and forty gaps to plant in them."""
