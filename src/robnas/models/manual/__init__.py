"""The seven manual families of §3.1 on small images: torchvision's and timm's networks behind a 3×3 stem. One file a family."""
